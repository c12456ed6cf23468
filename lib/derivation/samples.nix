# What the saved files in tests/fuzz/corpus/derivation are: `nix-instantiate -A NAME` of this, alike with Nix 2.8 and 2.34
# (experimental-features ca-derivations, impure-derivations); "dynamic" was written by 2.34 alone. The .json files are what
# `nix derivation show` of 2.34 prints as the member of "derivations".
let
  base = {
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "echo \"$0\" > $out" ];
  };
  dependency = derivation (base // { name = "dependency"; outputs = [ "out" "dev" ]; });
in
{
  plain = derivation (base // { name = "plain"; });
  classic = derivation (base // {
    name = "classic";
    outputs = [ "out" "dev" ];
    requiredSystemFeatures = [ "hatch-fpga" "big-parallel" ];
    script = "a \"quoted\" line\n\tand a back\\slash\r\n";
    inherit dependency;
  });
  structured = derivation (base // {
    name = "structured";
    __structuredAttrs = true;
    outputs = [ "out" "doc" ];
    requiredSystemFeatures = [ "hatch-fpga" "hatch-sign" ];
    nested = { list = [ 1 2.5 true null { deep = "text with \"quotes\" and \\ and ä"; } ]; };
    inherit dependency;
  });
  fixed-output = derivation (base // {
    name = "fixed-output";
    requiredSystemFeatures = [ "hatch-git" ];
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  });
  content-addressed = derivation (base // {
    name = "content-addressed";
    __contentAddressed = true;
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    requiredSystemFeatures = [ "hatch-fpga" ];
  });
  impure = derivation (base // {
    name = "impure";
    __impure = true;
    requiredSystemFeatures = [ "hatch-board" ];
  });
}
