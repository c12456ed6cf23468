# Derivations that use the hatch. Nothing of nixpkgs is needed.
#
#   hatch = import ./nixos/lib.nix { };
#   hatch.runHatch { builder = "hello"; name = "greeting"; args = [ "world" ]; }
{
  system ? builtins.currentSystem
    or (throw "hatch: pure evaluation, as of a flake, has no current system; name one: system = \"x86_64-linux\""),
}:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    filter
    isInt
    listToAttrs
    mapAttrs
    match
    ;
  currentSystem = system;

  # A machine that has the builder says so to Nix, as services.hatch of the module does.
  featureOf = builder: "hatch-${builder}";

  withFeature =
    feature: features:
    if feature == null || builtins.elem feature features then features else [ feature ] ++ features;

  # "${...}" makes a path or a derivation an input. Numbers it would refuse.
  text = value: if isInt value then toString value else "${value}";

  withoutNull = set: removeAttrs set (filter (name: set.${name} == null) (attrNames set));

  # What the client or the server would refuse, told while it costs nothing yet.
  complaints =
    request:
    let
      others = pattern: filter (name: match pattern name == null);
      seconds =
        name: max:
        let
          value = request.${name};
        in
        if value == null || isInt value && 0 < value && value <= max then
          [ ]
        else
          [ "${name} is a whole number of seconds from 1 to ${toString max}, or null" ];
      kinds = filter (kind: request.${kind}) [
        "fixed"
        "contentAddressed"
        "impure"
      ];
    in
    map (name: "\"${name}\" is no name of a builder") (
      others "[a-z0-9][a-z0-9._-]{0,63}" [ request.builder ]
    )
    ++ map (name: "\"${name}\" is no name of a variable") (
      others "[A-Za-z_][A-Za-z0-9_]{0,127}" (attrNames request.env)
    )
    ++ map (name: "\"${name}\" is no name of an input") (
      others "[A-Za-z0-9_][A-Za-z0-9._-]{0,63}" (attrNames request.inputs)
    )
    ++ seconds "timeout" 31536000
    ++ seconds "heartbeat" 3600
    ++ (
      if
        builtins.elem request.undeclaredReferences [
          null
          "ignore"
          "warn"
          "fail"
        ]
      then
        [ ]
      else
        [ "undeclaredReferences is \"ignore\", \"warn\" or \"fail\", or null" ]
    )
    ++ (
      if builtins.length kinds < 2 then
        [ ]
      else
        [ "only one of outputHash, contentAddressed and impure can be given" ]
    );

  # Nix 2.23 and newer can be told to stop at a warning.
  warn = builtins.warn or (message: builtins.trace "evaluation warning: ${message}");

  # A derivation with other attributes, on each of its outputs too. They are no part of what is built.
  extend =
    drv: attributes:
    let
      whole =
        drv // listToAttrs outputs // { all = map (output: output.value) outputs; } // attributes;
      outputs = map (name: {
        inherit name;
        value = whole // {
          inherit (drv.${name}) outPath outputName;
          outputSpecified = true;
        };
      }) drv.outputs;
    in
    whole;
in
rec {
  # A derivation whose builder is the hatch: what a builder of the host makes becomes its outputs.
  #
  # Arguments and variables arrive exactly as they stand here, with spaces, quotes and newlines. A path or a derivation
  # among them, or among the inputs, becomes its store path, and so something that is built before.
  runHatch =
    {
      # As `hatch list` shows it.
      builder,
      name,
      # After the builder's own command, as far as "args" of its definition allows.
      args ? [ ],
      # Variables for the builder, as far as "environment.accept" of its definition allows.
      env ? { },
      # Files and directories that the builder finds in $HATCH_INPUTS, by name, if its definition takes inputs.
      inputs ? { },
      outputs ? [ "out" ],
      # Seconds; can only shorten the builder's own limit. null: the builder's default.
      timeout ? null,
      # Seconds between signs of life, so that Nix' max-silent-time does not end the build. null: none.
      heartbeat ? null,
      # What becomes of outputs that hold store paths which are no inputs, and so not kept by Nix: "ignore", "warn" or
      # "fail", if that is stricter than what the builder's definition says.
      undeclaredReferences ? null,
      # By which the machine is found that has the builder, as "allow.features" of its definition asks; null: by none.
      feature ? featureOf builder,
      # What else the machine must have.
      requiredSystemFeatures ? [ ],
      # Of a fixed-output derivation, as in Nix' manual.
      outputHash ? null,
      outputHashAlgo ? null,
      outputHashMode ? null,
      # Where the outputs lie depends on what is in them (Nix' experimental feature ca-derivations).
      contentAddressed ? false,
      # Built each time it is asked for (Nix' experimental feature impure-derivations).
      impure ? false,
      outputChecks ? null,
      preferLocalBuild ? null,
      allowSubstitutes ? null,
      # Other attributes of the derivation.
      derivationArgs ? { },
      # For those who read the expression, as of stdenv.mkDerivation.
      meta ? { },
      passthru ? { },
      system ? currentSystem,
    }:
    let
      wrong = complaints {
        inherit
          builder
          env
          inputs
          timeout
          heartbeat
          undeclaredReferences
          contentAddressed
          impure
          ;
        fixed = outputHash != null;
      };
      found = contentAddressed || impure;
      drv = derivation (
        derivationArgs
        // withoutNull {
          inherit
            outputHash
            outputChecks
            preferLocalBuild
            allowSubstitutes
            ;
          outputHashAlgo = if found then "sha256" else outputHashAlgo;
          outputHashMode = if found then "recursive" else outputHashMode;
          __contentAddressed = if contentAddressed then true else null;
          __impure = if impure then true else null;
        }
        // {
          inherit name outputs system;
          builder = "/bin/hatch";
          args = [ "run" ];
          requiredSystemFeatures = withFeature feature requiredSystemFeatures;
          # Who asks for what stands in .attrs.json, where lists and quotes survive.
          __structuredAttrs = true;
          hatch = withoutNull {
            inherit builder timeout heartbeat;
            undeclared_references = undeclaredReferences;
            args = map text args;
            env = mapAttrs (_: text) env;
            inputs = if inputs == { } then null else mapAttrs (_: text) inputs;
          };
        }
      );
    in
    if wrong == [ ] then
      extend drv (passthru // { inherit meta passthru; })
    else
      throw "runHatch: ${name}: ${concatStringsSep "; " wrong}";

  # The arguments of an ordinary derivation, one of whose phases calls `/bin/hatch run BUILDER`:
  # stdenv.mkDerivation (forStdenv "sign" { ... }), or package.overrideAttrs (forStdenv "sign").
  forStdenv =
    builder: old:
    if builtins.isFunction old then
      final: forStdenv builder (old final)
    else
      old // { requiredSystemFeatures = withFeature (featureOf builder) (old.requiredSystemFeatures or [ ]); };

  # The function of nix-sandbox-escape-hatch: makeEscapeHatchRunner BUILDER { requiredSystemFeatures, system } NAME ARGS.
  makeEscapeHatchRunner =
    builder: attributes: name: args:
    warn
      "makeEscapeHatchRunner is runHatch now; say runHatch { builder = \"${builder}\"; name = \"${name}\"; args = [ ... ]; }"
      (runHatch (attributes // { inherit builder name args; }));
}
