# A builder that makes two trees, one of which refers to the other.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "synth" ''
        mkdir "$out" "$reports"
        echo "bits" >"$out/top.bit"
        echo "of $out" >"$reports/timing"
      '' { })
      (import ./derivation.nix "bitstream" "synth" ''outputs = [ "out" "reports" ];'')
    ];

    services.hatch.enable = true;
  };
}
