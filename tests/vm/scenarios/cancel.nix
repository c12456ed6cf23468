# A builder that would run for a minute.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "slow" ''
        touch "/meeting/$1"
        sleep 59 &
        wait
        echo "late" >"$out"
      '' { args.max = 1; })
      (import ./derivation.nix "interrupted" "slow" ''args = [ "interrupted" ];'')
      (import ./derivation.nix "killed" "slow" ''args = [ "killed" ];'')
    ];

    services.hatch.enable = true;
  };
}
