# The part of nixpkgs' lib that nixos/ uses, so that the module can be evaluated where there is no nixpkgs: options,
# types, properties (mkIf, mkMerge, mkForce), and an evalModules that refuses unknown options and wrong types.
# Written after nixpkgs' manual; how it says things and in which order it merges is not the same.
let
  inherit (builtins)
    all
    attrNames
    concatLists
    concatMap
    elem
    filter
    foldl'
    genList
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    length
    listToAttrs
    mapAttrs
    match
    ;

  lib = {
    inherit (builtins)
      any
      attrNames
      attrValues
      concatLists
      concatMap
      concatStringsSep
      isAttrs
      ;
    genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
    getExe = package: "${package}/bin/${package.meta.mainProgram or package.name}";
    mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    nameValuePair = name: value: { inherit name value; };
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    range = first: last: genList (i: first + i) (last - first + 1);
    subtractLists = unwanted: filter (item: !elem item unwanted);
    cleanSource = source: source;
    licenses.mit.spdxId = "MIT";
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];

    literalExpression = text: { inherit text; };
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = lib.types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    mkPackageOption =
      pkgs: name:
      { }:
      lib.mkOption {
        type = lib.types.package;
        default = pkgs.${name};
        description = "The ${name} package to use.";
      };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkForce = content: {
      _type = "force";
      inherit content;
    };

    inherit types evalModules;
  };

  last = list: builtins.elemAt list (length list - 1);
  typeOf = value: if isAttrs value then value._type or null else null;
  show = loc: "`${builtins.concatStringsSep "." loc}'";

  # --- properties ---

  # mkIf around a set becomes mkIf around each member: so a condition is asked for only with a value, not with a name.
  pushDown =
    definition:
    if typeOf definition == "merge" then
      concatMap pushDown definition.contents
    else if typeOf definition == "if" then
      map (mapAttrs (_: lib.mkIf definition.condition)) (pushDown definition.content)
    else
      [ definition ];

  # The values that a definition stands for, in the end.
  discharge =
    definition:
    if typeOf definition == "merge" then
      concatMap discharge definition.contents
    else if typeOf definition == "if" then
      (if definition.condition then discharge definition.content else [ ])
    else
      [ definition ];

  strongest =
    values:
    let
      forced = filter (value: typeOf value == "force") values;
    in
    if forced == [ ] then values else map (value: value.content) forced;

  # --- types: each checks one value and merges all of them ---

  mergeOne =
    loc: values:
    if all (value: value == head values) values then
      head values
    else
      throw "The option ${show loc} has conflicting definition values.";

  mkType =
    description: check:
    {
      merge ? mergeOne,
    }:
    {
      inherit description check;
      merge =
        loc: values:
        if all check values then
          merge loc values
        else
          throw "A definition for option ${show loc} is not of type `${description}'.";
    };

  mergeAnything =
    loc: values:
    if all isAttrs values && !(head values ? outPath) then
      mergeAttrs mergeAnything loc values
    else if all isList values then
      concatLists values
    else
      mergeOne loc values;

  # mkIf in a member is taken out before its type sees it; a member without a value is none.
  mergeAttrs =
    merge: loc: values:
    let
      names = attrNames (foldl' (a: b: a // b) { } values);
      valuesOf =
        name: strongest (concatMap (value: if value ? ${name} then discharge value.${name} else [ ]) values);
      present = filter (name: valuesOf name != [ ]) names;
    in
    lib.genAttrs present (name: merge (loc ++ [ name ]) (valuesOf name));

  types = {
    bool = mkType "boolean" isBool { };
    str = mkType "string" isString { };
    package = mkType "package" (value: isAttrs value && value ? outPath) { };
    path = mkType "path" (value: builtins.isPath value || isString value || value ? outPath) { };
    anything = mkType "anything" (_: true) { merge = mergeAnything; };
    strMatching = pattern: mkType "string matching ${pattern}" (v: isString v && match pattern v != null) { };
    ints.between =
      low: high:
      mkType "integer between ${toString low} and ${toString high}" (
        v: isInt v && v >= low && v <= high
      ) { };
    enum = words: mkType "one of ${toString words}" (value: elem value words) { };
    nullOr = type: mkType "null or ${type.description}" (value: value == null || type.check value) { };
    listOf =
      type:
      mkType "list of ${type.description}" (value: isList value && all type.check value) {
        merge = _: concatLists;
      };
    attrsOf =
      type: mkType "attribute set of ${type.description}" isAttrs { merge = mergeAttrs type.merge; };
    # The module is a function of { name, ... }, or a set.
    submodule =
      module:
      mkType "submodule" (value: isAttrs value || isFunction value) {
        merge = loc: values: evaluate loc ([ module ] ++ values) { name = last loc; };
      };
  };

  # --- modules ---

  # Every module with what it imports, as { options, config }.
  collect =
    arguments: module:
    let
      called =
        if isFunction module then
          module arguments
        else if isAttrs module then
          module
        else
          import module;
      body = if isFunction called then called arguments else called;
      split = body ? options || body ? config;
    in
    concatMap (collect arguments) (body.imports or [ ])
    ++ [
      {
        options = body.options or { };
        config = if split then body.config or { } else removeAttrs body [ "imports" ];
      }
    ];

  mergeOptions = foldl' (
    left: right:
    left
    // mapAttrs (
      name: option:
      if left ? ${name} && typeOf left.${name} == null && typeOf option == null then
        mergeOptions [
          left.${name}
          option
        ]
      else if left ? ${name} then
        throw "The option `${name}' is declared twice."
      else
        option
    ) right
  ) { };

  valueOf =
    loc: option: definitions:
    let
      values = strongest (concatMap discharge definitions);
    in
    if values != [ ] then
      option.type.merge loc values
    else if option ? default then
      option.default
    else
      throw "The option ${show loc} is used but not defined.";

  fill =
    loc: options: definitions:
    let
      sets = concatMap pushDown definitions;
      unknown = filter (name: !(options ? ${name})) (concatMap attrNames sets);
      definitionsOf = name: concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets;
      member =
        name: option:
        (if typeOf option == "option" then valueOf else fill) (loc ++ [ name ]) option (definitionsOf name);
    in
    if unknown != [ ] then
      throw "The option ${show (loc ++ [ (head unknown) ])} does not exist."
    else
      mapAttrs member options;

  evaluate =
    loc: modules: arguments:
    let
      parts = concatMap (collect (arguments // { inherit lib config; })) modules;
      config = fill loc (mergeOptions (map (part: part.options) parts)) (map (part: part.config) parts);
    in
    config;

  evalModules =
    {
      modules,
      specialArgs ? { },
    }:
    {
      config = evaluate [ ] modules specialArgs;
    };
in
lib
