# A derivation whose builder is the hatch: what a builder of the host makes becomes its outputs.
#
#   runHatch = import ./nixos/run-hatch.nix;
#   runHatch { builder = "hello"; name = "greeting"; args = [ "world" ]; }
#
# Arguments and variables arrive exactly as they stand here, with spaces, quotes and newlines. A path or a derivation
# among them becomes its store path and an input; the builder on the host reads it at the same place.
# Everything else (outputHash, requiredSystemFeatures, preferLocalBuild, ...) goes to `derivation` as it is.
{
  # As `hatch list` shows it.
  builder,
  name,
  # After the builder's own command, as far as "args" of its definition allows.
  args ? [ ],
  # Variables for the builder, as far as "environment.accept" of its definition allows.
  env ? { },
  outputs ? [ "out" ],
  # Seconds; can only shorten the builder's own limit. null: the builder's default.
  timeout ? null,
  # Pure evaluation, as in a flake, has no currentSystem: name one there.
  system ? builtins.currentSystem,
  ...
}@given:
let
  # "${...}" makes a path or derivation an input; numbers it would refuse.
  text = value: if builtins.isInt value then toString value else "${value}";
in
derivation (
  removeAttrs given [
    "args"
    "env"
    "timeout"
  ]
  // {
    inherit name outputs system;
    builder = "/bin/hatch";
    # Who asks for what stands in .attrs.json, where lists and quotes survive.
    __structuredAttrs = true;
    args = [ "run" ];
    hatch = {
      inherit builder;
      args = map text args;
      env = builtins.mapAttrs (_: text) env;
    }
    // (if timeout == null then { } else { inherit timeout; });
  }
)
