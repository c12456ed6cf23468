# A machine with one builder, as an administrator would begin.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "greet" ''
        echo "running outside of the sandbox"
        mkdir -p "$out"
        echo "hello $1" >"$out/greeting"
        id -un >"$out/user"
        echo "$out" >"$out/self"
      '' { args.max = 1; })
      (import ./derivation.nix "greeting" "greet" ''args = [ "a 'quoted' world" ];'')
    ];

    services.hatch.enable = true;
  };
}
