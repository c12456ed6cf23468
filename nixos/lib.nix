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
    all
    attrNames
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    intersectAttrs
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    match
    replaceStrings
    stringLength
    toJSON
    typeOf
    ;
  currentSystem = system;

  # A machine that has the builder says so to Nix, as services.hatch of the module does.
  featureOf = builder: "hatch-${builder}";

  withFeature =
    feature: features:
    if feature == null || elem feature features then features else [ feature ] ++ features;

  withoutNull = set: removeAttrs set (filter (name: set.${name} == null) (attrNames set));

  # --- what every client or every server would refuse, told while it costs nothing yet ---

  # A test compares them with those of the programs.
  limits = {
    args = 4096;
    env = 256;
    inputs = 32;
    outputs = 32;
    # Seconds.
    timeout = 31536000;
    heartbeat = 3600;
    # Bytes: of an argument, or of a variable with its name and "="; of the path of an input; of all together.
    word = 131071;
    path = 4095;
    request = 1048576;
  };
  patterns = {
    builder = "[a-z0-9][a-z0-9._-]{0,63}";
    variable = "[A-Za-z_][A-Za-z0-9_]{0,127}";
    input = "[A-Za-z0-9_][A-Za-z0-9._-]{0,63}";
    output = "[a-z][A-Za-z0-9_-]{0,63}";
    feature = "[^ \t\r\n]{1,255}";
    # Variables that hatch itself sets.
    taken = "HATCH_.*|CREDENTIALS_DIRECTORY|out|outputs";
    # Variables that no definition may accept.
    dangerous = concatStringsSep "|" (map (replaceStrings [ "*" ] [ ".*" ]) [
      "LD_*"
      "GLIBC_TUNABLES"
      "GCONV_PATH"
      "GETCONF_DIR"
      "HOSTALIASES"
      "LOCALDOMAIN"
      "LOCPATH"
      "MALLOC_*"
      "NIS_PATH"
      "NLSPATH"
      "RESOLV_HOST_CONF"
      "RES_OPTIONS"
      "TZDIR"
      "BASH_ENV"
      "BASH_FUNC_*"
      "BASHOPTS"
      "CDPATH"
      "ENV"
      "GLOBIGNORE"
      "IFS"
      "PROMPT_COMMAND"
      "PS4"
      "SHELLOPTS"
      "ZDOTDIR"
      "CLASSPATH"
      "JAVA_TOOL_OPTIONS"
      "JDK_JAVA_OPTIONS"
      "_JAVA_OPTIONS"
      "LUA_*"
      "NODE_OPTIONS"
      "NODE_PATH"
      "PERL5*"
      "PERLLIB"
      "PYTHON*"
      "RUBYLIB"
      "RUBYOPT"
      "TCLLIBPATH"
      "GIT_*"
      "GNUMAKEFLAGS"
      "MAKEFILES"
      "MAKEFLAGS"
      "MFLAGS"
      "RUSTC*"
      "HOME"
      "LOGNAME"
      "OLDPWD"
      "PATH"
      "PWD"
      "SHELL"
      "TEMP"
      "TEMPDIR"
      "TMP"
      "TMPDIR"
      "USER"
    ]);
  };

  fits = pattern: text: match pattern text != null;
  when = condition: message: if condition then [ message ] else [ ];
  about = message: map (name: "\"${name}\" ${message}");
  others = pattern: filter (name: !fits pattern name);

  text = {
    is = isString;
    name = "text";
  };
  texts = {
    is = value: isList value && all isString value;
    name = "a list of text";
  };
  list = {
    is = isList;
    name = "a list";
  };
  set = {
    is = isAttrs;
    name = "a set";
  };
  bool = {
    is = isBool;
    name = "true or false";
  };
  orNull = type: {
    is = value: value == null || type.is value;
    name = "${type.name}, or null";
  };

  shapes =
    let
      row = name: type: { inherit name type; };
    in
    [
      (row "name" text)
      (row "builder" text)
      (row "args" list)
      (row "env" set)
      (row "inputs" set)
      (row "outputs" texts)
      (row "feature" (orNull text))
      (row "requiredSystemFeatures" texts)
      (row "contentAddressed" bool)
      (row "impure" bool)
      (row "system" text)
      (row "derivationArgs" set)
    ];

  # The first: what is derived from it cannot be looked at any more.
  misshapen =
    request:
    foldl' (
      wrong: shape:
      if wrong != [ ] then
        wrong
      else
        when (!shape.type.is request.${shape.name}) "${shape.name} must be ${shape.type.name}"
    ) [ ] shapes;

  # Where the shape is right.
  contradictions =
    request:
    let
      inputs = attrNames request.inputs;
      variables = attrNames request.env;
      named = groupBy (name: name) request.outputs;
      ofHatch = fits patterns.taken;
      features =
        when (request.feature != null) request.feature ++ request.requiredSystemFeatures;
      tooMany =
        what: things:
        let
          n = length things;
        in
        when (n > limits.${what}) "${toString n} ${what} are more than ${toString limits.${what}}";
      seconds =
        what:
        let
          value = request.${what};
          right = value == null || isInt value && 0 < value && value <= limits.${what};
        in
        when (!right) "${what} is a whole number of seconds from 1 to ${toString limits.${what}}, or null";
      policies = [
        null
        "ignore"
        "warn"
        "fail"
      ];
      kinds = filter (kind: kind) [
        (request.outputHash != null)
        request.contentAddressed
        request.impure
      ];
    in
    about "is no name of a builder" (others patterns.builder [ request.builder ])
    ++ tooMany "args" request.args
    ++ tooMany "env" variables
    ++ about "is no name of a variable" (others patterns.variable variables)
    ++ about "is a variable that hatch itself sets" (filter ofHatch variables)
    ++ about "is a variable that no builder takes of a client" (
      filter (fits patterns.dangerous) variables
    )
    ++ about "is a variable and an output" (
      filter (name: elem name request.outputs && !ofHatch name) variables
    )
    ++ tooMany "inputs" inputs
    ++ about "is no name of an input" (others patterns.input inputs)
    ++ when (request.outputs == [ ]) "there is no output"
    ++ tooMany "outputs" request.outputs
    ++ about "is there twice among the outputs" (
      filter (name: length named.${name} > 1) (attrNames named)
    )
    ++ about "is no name of an output" (
      others patterns.output request.outputs ++ filter (name: name == "outputs") request.outputs
    )
    ++ about "is no name of a feature" (others patterns.feature features)
    ++ seconds "timeout"
    ++ seconds "heartbeat"
    ++ when (
      !elem request.undeclaredReferences policies
    ) "undeclaredReferences is \"ignore\", \"warn\" or \"fail\", or null"
    ++ when (length kinds > 1) "only one of outputHash, contentAddressed and impure can be given"
    ++ about "is not for derivationArgs: runHatch sets it" request.overridden;

  isWord =
    value:
    isString value
    || isInt value
    || isPath value
    || isAttrs value && (value ? outPath || value ? __toString);

  # who: the function that was called, of what
  refuse = who: wrong: throw "${who}: ${concatStringsSep "; " wrong}";

  # Sentences about the arguments of runHatch. Values of words are no part of it: name and meta of a derivation must not
  # wait for all that is built before.
  complaints =
    request:
    let
      wrong = misshapen request;
    in
    if wrong == [ ] then contradictions request else wrong;

  # As text. "${...}" makes a path or a derivation an input; numbers it would refuse.
  word =
    who: max: what: value:
    let
      text = if isInt value then toString value else "${value}";
      wrong =
        if isWord value then
          when (stringLength text > max) "${what} is longer than ${toString max} bytes"
        else
          [ "${what} is a ${typeOf value}; expected text, a whole number, a path or a derivation" ];
    in
    if wrong == [ ] then text else refuse who wrong;

  # The attribute "hatch" of the derivation.
  ask =
    who: request:
    let
      argument = i: word who limits.word "argument ${toString (i + 1)}" (elemAt request.args i);
      variable = name: word who (limits.word - stringLength "${name}=") "env.${name}";
      input =
        name: value:
        let
          path = word who limits.path "inputs.${name}" value;
        in
        if path == "" then refuse who [ "inputs.${name} is empty; expected a path" ] else path;
      asked = withoutNull {
        inherit (request) builder timeout heartbeat;
        undeclared_references = request.undeclaredReferences;
        args = genList argument (length request.args);
        env = mapAttrs variable request.env;
        inputs = if request.inputs == { } then null else mapAttrs input request.inputs;
      };
    in
    if stringLength (toJSON asked) > limits.request then
      refuse who [ "arguments, variables and inputs are longer than ${toString limits.request} bytes" ]
    else
      asked;

  # --- derivations ---

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
      who = "runHatch: ${if isString name then name else "?"}";
      found = contentAddressed || impure;
      optional = {
        inherit
          outputHash
          outputChecks
          preferLocalBuild
          allowSubstitutes
          ;
        outputHashAlgo = if outputHashAlgo == null && found then "sha256" else outputHashAlgo;
        outputHashMode = if outputHashMode == null && found then "recursive" else outputHashMode;
        __contentAddressed = if contentAddressed then true else null;
        __impure = if impure then true else null;
      };
      own = {
        inherit name outputs system;
        builder = "/bin/hatch";
        args = [ "run" ];
        requiredSystemFeatures = withFeature feature requiredSystemFeatures;
        # Who asks for what stands in .attrs.json, where lists and quotes survive.
        __structuredAttrs = true;
        hatch = ask who request;
      };
      request = {
        inherit
          builder
          name
          args
          env
          inputs
          outputs
          timeout
          heartbeat
          undeclaredReferences
          feature
          requiredSystemFeatures
          outputHash
          contentAddressed
          impure
          system
          derivationArgs
          ;
        overridden = attrNames (intersectAttrs (optional // own) derivationArgs);
      };
      wrong = complaints request;
    in
    if wrong == [ ] then
      extend (derivation (derivationArgs // withoutNull optional // own)) (
        passthru // { inherit meta passthru; }
      )
    else
      refuse who wrong;

  # The arguments of an ordinary derivation, one of whose phases calls `/bin/hatch run BUILDER`:
  # stdenv.mkDerivation (forStdenv "sign" { ... }), or package.overrideAttrs (forStdenv "sign").
  forStdenv =
    builder: old:
    if !isString builder then
      refuse "forStdenv" [ "builder must be text" ]
    else if !fits patterns.builder builder then
      refuse "forStdenv" [ "\"${builder}\" is no name of a builder" ]
    else if !isFunction old && !isAttrs old then
      refuse "forStdenv" [ "what is changed must be a set or a function" ]
    else if isFunction old then
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
