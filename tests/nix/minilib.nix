# The part of nixpkgs' lib that nixos/ uses, so that the module can be evaluated where there is no nixpkgs: options,
# types, properties (mkIf, mkMerge, mkDefault, mkForce), an evalModules that refuses unknown options and wrong types, and
# the list of options for a manual. Written after nixpkgs' manual; how it says what is wrong is not the same.
let
  inherit (builtins)
    all
    any
    attrNames
    attrValues
    concatLists
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isAttrs
    isBool
    isFloat
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
    ;

  lib = {
    # For tests that can only be exact with this one.
    isOurs = true;

    inherit (builtins)
      all
      any
      attrNames
      attrValues
      catAttrs
      concatLists
      concatMap
      concatStringsSep
      listToAttrs
      elem
      filter
      foldl'
      head
      isAttrs
      isList
      mapAttrs
      ;
    boolToString = value: if value then "true" else "false";
    concatLines = lines: concatStringsSep "" (map (line: line + "\n") lines);
    concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
    filterAttrs =
      keep: set:
      listToAttrs (
        concatMap (name: if keep name set.${name} then [ (lib.nameValuePair name set.${name}) ] else [ ]) (
          attrNames set
        )
      );
    genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
    getExe = package: lib.getExe' package (package.meta.mainProgram or package.name);
    getExe' = package: program: "${package}/bin/${program}";
    hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
    imap1 = f: list: genList (i: f (i + 1) (elemAt list i)) (length list);
    intersectLists = wanted: filter (item: elem item wanted);
    last = list: elemAt list (length list - 1);
    makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
    mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    nameValuePair = name: value: { inherit name value; };
    min = a: b: if a < b then a else b;
    removePrefix =
      prefix: text:
      if lib.hasPrefix prefix text then
        builtins.substring (builtins.stringLength prefix) (-1) text
      else
        text;
    removeSuffix =
      suffix: text:
      let
        kept = builtins.stringLength text - builtins.stringLength suffix;
      in
      if kept >= 0 && builtins.substring kept (-1) text == suffix then builtins.substring 0 kept text else text;
    toInt =
      text:
      let
        number = match "[[:space:]]*(-?(0|[1-9][0-9]*))[[:space:]]*" text;
      in
      if number == null then throw "toInt: Could not convert ${text} to int." else builtins.fromJSON (head number);
    count = wanted: list: length (filter wanted list);
    toList = value: if isList value then value else [ value ];
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    range = first: last: genList (i: first + i) (last - first + 1);
    subtractLists = unwanted: filter (item: !elem item unwanted);
    unique = foldl' (seen: item: if elem item seen then seen else seen ++ [ item ]) [ ];
    mesonBool = name: value: lib.mesonOption name (if value then "true" else "false");
    mesonEnable = name: value: lib.mesonOption name (if value then "enabled" else "disabled");
    mesonOption = name: value: "-D${name}=${value}";
    # Which files a package is made of; here they are only names.
    fileset = {
      unions = files: files;
      toSource = { root, fileset }: { inherit root fileset; };
    };
    licenses.mit.spdxId = "MIT";
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];

    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether to enable ${what}.";
      };
    mkPackageOption =
      pkgs: name:
      {
        extraDescription ? "",
      }:
      lib.mkOption {
        type = types.package;
        default = pkgs.${name};
        defaultText = lib.literalExpression "pkgs.${name}";
        description =
          "The ${name} package to use." + (if extraDescription == "" then "" else " ") + extraDescription;
      };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkForce = lib.mkOverride 50;
    mkDefault = lib.mkOverride 1000;
    mkOptionDefault = lib.mkOverride 1500;

    inherit types evalModules optionAttrSetToDocList;
  };

  typeOf = value: if isAttrs value then value._type or null else null;
  showLoc = loc: "`${concatStringsSep "." loc}'";

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

  priorityOf = value: if typeOf value == "override" then value.priority else 100;

  # The values that count, of all that are defined.
  valuesOf =
    definitions:
    let
      values = concatMap discharge definitions;
      strongest = foldl' (best: value: if priorityOf value < best then priorityOf value else best) 9999 values;
    in
    map (value: if typeOf value == "override" then value.content else value) (
      filter (value: priorityOf value == strongest) values
    );

  mergeValues =
    loc: type: values:
    if all type.check values then
      type.merge loc values
    else
      throw "A definition for option ${showLoc loc} is not of type `${type.description}'.";

  # --- types: each checks one value, merges all of them, and describes itself for the manual ---

  mergeOne =
    loc: values:
    if all (value: value == head values) values then
      head values
    else
      throw "The option ${showLoc loc} has conflicting definition values.";

  mkType =
    description: class: check:
    {
      inherit description check;
      # Of which shape the description is: whether it needs parentheses inside of another.
      descriptionClass = class;
      merge = mergeOne;
      # The options inside, for the manual.
      getSubOptions = _: { };
    };

  # The description of a type inside of another one.
  phrase =
    classes: type:
    if elem type.descriptionClass classes then type.description else "(${type.description})";

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
    merge: loc: sets:
    let
      names = attrNames (foldl' (a: b: a // b) { } sets);
      members = lib.genAttrs names (
        name: valuesOf (concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets)
      );
    in
    mapAttrs (name: merge (loc ++ [ name ])) (lib.filterAttrs (_: values: values != [ ]) members);

  isStringLike = value: isString value || isPath value || value ? outPath;

  types = {
    bool = mkType "boolean" "noun" isBool;
    int = mkType "signed integer" "noun" isInt;
    float = mkType "floating point number" "noun" isFloat;
    str = mkType "string" "noun" isString;
    nonEmptyStr = mkType "non-empty string" "noun" (v: isString v && match "[ \t\n]*" v == null);
    singleLineStr = mkType "(optionally newline-terminated) single-line string" "noun" (
      v: isString v && match "[^\n\r]*\n?" v != null
    );
    strMatching =
      pattern:
      mkType "string matching the pattern ${pattern}" "noun" (v: isString v && match pattern v != null);
    package = mkType "package" "noun" (v: isAttrs v && v ? outPath);
    path = mkType "absolute path" "noun" (
      v: isStringLike v && builtins.substring 0 1 (toString v) == "/"
    );
    anything = mkType "anything" "noun" (_: true) // {
      merge = mergeAnything;
    };
    ints = {
      unsigned = mkType "unsigned integer, meaning >=0" "nonRestrictiveClause" (v: isInt v && v >= 0);
      positive = mkType "positive integer, meaning >0" "nonRestrictiveClause" (v: isInt v && v > 0);
      between =
        low: high:
        mkType "integer between ${toString low} and ${toString high} (both inclusive)" "noun" (
          v: isInt v && v >= low && v <= high
        );
    };
    enum =
      words:
      if length words == 1 then
        mkType "value ${pretty "" (head words)} (singular enum)" "noun" (v: elem v words)
      else
        mkType "one of ${lib.concatMapStringsSep ", " (pretty "") words}" "conjunction" (v: elem v words);
    nullOr =
      type:
      mkType "null or ${phrase [ "noun" "conjunction" ] type}" "conjunction" (
        v: v == null || type.check v
      )
      // {
        merge = loc: values: if all (v: v == null) values then null else mergeValues loc type values;
        inherit (type) getSubOptions;
      };
    either =
      left: right:
      let
        simple = [
          "noun"
          "conjunction"
        ];
      in
      mkType (
        if left.descriptionClass == "nonRestrictiveClause" then
          "${left.description}, or ${phrase simple right}"
        else
          "${phrase simple left} or ${phrase (simple ++ [ "composite" ]) right}"
      ) "conjunction" (v: left.check v || right.check v)
      // {
        merge = loc: values: (if all left.check values then left else right).merge loc values;
      };
    uniq =
      type:
      type
      // {
        merge =
          loc: values:
          if length values == 1 then
            type.merge loc values
          else
            throw "The option ${showLoc loc} is defined multiple times while it's expected to be unique.";
      };
    oneOf = alternatives: foldl' types.either (head alternatives) (builtins.tail alternatives);
    addCheck = type: check: type // { check = v: type.check v && check v; };
    coercedTo =
      from: convert: to:
      mkType "${phrase [ "noun" ] to} or ${phrase [ "noun" ] from} convertible to it" null (
        v: from.check v || to.check v
      )
      // {
        merge = loc: values: mergeValues loc to (map (v: if from.check v then convert v else v) values);
        inherit (to) getSubOptions;
      };
    listOf =
      type:
      mkType "list of ${phrase [ "noun" "composite" ] type}" "composite" isList
      // {
        merge =
          loc: values:
          map (value: mergeValues (loc ++ [ "*" ]) type [ value ]) (concatMap (concatMap (item: valuesOf [ item ])) values);
        getSubOptions = prefix: type.getSubOptions (prefix ++ [ "*" ]);
      };
    nonEmptyListOf =
      type:
      let
        list = types.listOf type;
      in
      list
      // {
        description = "non-empty ${phrase [ "noun" ] list}";
        check = v: isList v && v != [ ];
      };
    attrsOf =
      type:
      mkType "attribute set of ${phrase [ "noun" "composite" ] type}" "composite" isAttrs
      // {
        merge = mergeAttrs (loc: mergeValues loc type);
        getSubOptions = prefix: type.getSubOptions (prefix ++ [ "<name>" ]);
      };
    # The module is a function of { name, ... }, or a set.
    submodule =
      module:
      let
        evaluated = loc: name: values: evaluate loc ([ module ] ++ values) { inherit name; };
        free = (evaluated [ ] "‹name›" [ ]).freeformType;
      in
      mkType
        (if free == null then "submodule" else "open submodule of ${phrase [ "noun" "composite" ] free}")
        (if free == null then null else "composite")
        (v: isAttrs v || isFunction v || types.path.check v)
      // {
        merge = loc: values: (evaluated loc (lib.last loc) values).config;
        getSubOptions = prefix: (evaluated prefix "‹name›" [ ]).options;
      };
  };

  # --- modules ---

  # Every module, and then those that they import, as { options, config, freeformType }.
  collect =
    arguments: seen: given:
    let
      # A file counts once, however often it is imported.
      modules = lib.unique (filter (module: !isPath module || !elem module seen) given);
      called =
        module:
        if isFunction module then
          module arguments
        else if isAttrs module then
          module
        else
          called (import module);
      bodies = map called modules;
      part =
        body:
        let
          split = body ? options || body ? config;
        in
        {
          options = body.options or { };
          config = if split then body.config or { } else removeAttrs body [ "imports" ];
          freeformType = body.freeformType or null;
        };
    in
    if given == [ ] then
      [ ]
    else
      map part bodies
      ++ collect arguments (seen ++ filter isPath modules) (concatMap (body: body.imports or [ ]) bodies);

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

  # An option with its value.
  evaluateOption =
    loc: option: definitions:
    let
      values = valuesOf definitions;
      apply = option.apply or (value: value);
    in
    option
    // {
      inherit loc;
      isDefined = values != [ ];
      definitions = values;
      value =
        if option.readOnly or false && length values > 1 then
          throw "The option ${showLoc loc} is read-only, but it's set multiple times."
        else if values != [ ] then
          apply (mergeValues loc option.type values)
        else if option ? default then
          apply option.default
        else
          throw "The option ${showLoc loc} is used but not defined.";
    };

  # Options and definitions of one level: the options with their values, and the definitions that no option takes.
  fill =
    loc: options: definitions:
    let
      sets = concatMap pushDown definitions;
      definitionsOf = name: concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets;
      member =
        name: option:
        if typeOf option == "option" then
          {
            option = evaluateOption (loc ++ [ name ]) option (definitionsOf name);
            unknown = { };
          }
        else
          fill (loc ++ [ name ]) option (definitionsOf name);
      members = mapAttrs member options;
      others = filter (name: !(options ? ${name})) (lib.unique (concatMap attrNames sets));
    in
    {
      option = mapAttrs (_: m: m.option) members;
      unknown =
        lib.filterAttrs (_: found: found != { }) (mapAttrs (_: m: m.unknown) members)
        // lib.genAttrs others definitionsOf;
    };

  reverse = list: genList (i: elemAt list (length list - 1 - i)) (length list);

  update =
    left: right:
    left
    // mapAttrs (
      name: value: if isAttrs value && isAttrs (left.${name} or null) then update left.${name} value else value
    ) right;

  isOption = value: typeOf value == "option";
  configOf = mapAttrs (_: option: if isOption option then option.value else configOf option);

  # Where the first of the definitions stands that no option takes.
  firstUnknown =
    loc: unknown:
    let
      name = head (attrNames unknown);
      here = loc ++ [ name ];
    in
    if isList unknown.${name} then here else firstUnknown here unknown.${name};

  evaluate =
    loc: modules: arguments:
    let
      # nixpkgs merges what comes last first.
      parts = reverse (
        collect (
          arguments
          // {
            inherit lib config;
            options = filled.option;
          }
        ) [ ] modules
      );
      filled = fill loc (mergeOptions (map (part: part.options) parts)) (map (part: part.config) parts);
      freeformType = foldl' (found: part: if part.freeformType == null then found else part.freeformType) null parts;
      config =
        if filled.unknown == { } then
          configOf filled.option
        else if freeformType != null then
          update (freeformType.merge loc (freeValues filled.unknown)) (configOf filled.option)
        else
          throw "The option ${showLoc (firstUnknown loc filled.unknown)} does not exist.";
      freeValues =
        unknown:
        concatLists (
          lib.mapAttrsToList (
            name: found: map (value: { ${name} = value; }) (if isList found then found else freeValues found)
          ) unknown
        );
    in
    {
      inherit config freeformType;
      options = filled.option;
    };

  evalModules =
    {
      modules,
      specialArgs ? { },
    }:
    {
      inherit (evaluate [ ] modules specialArgs) config options;
    };

  # --- the manual ---

  # A value as Nix text over several lines, as nixpkgs shows it.
  pretty =
    indent: value:
    let
      deeper = indent + "  ";
      lines = open: close: items: "${open}\n${concatStringsSep "" (map (item: "${deeper}${item}\n") items)}${indent}${close}";
    in
    if value == null then
      "null"
    else if isBool value then
      (if value then "true" else "false")
    else if isString value then
      "\"${replaceStrings [ "\\" "\"" "\${" "\n" ] [ "\\\\" "\\\"" "\\\${" "\\n" ] value}\""
    else if isFloat value then
      builtins.toJSON value
    else if isList value then
      (if value == [ ] then "[ ]" else lines "[" "]" (map (pretty deeper) value))
    else if isAttrs value then
      (
        if value == { } then
          "{ }"
        else
          lines "{" "}" (lib.mapAttrsToList (name: v: "${showName name} = ${pretty deeper v};") value)
      )
    else
      toString value;

  showName =
    name:
    if match "[a-zA-Z_][a-zA-Z0-9_'-]*" name != null || name == "*" || lib.hasPrefix "<" name then
      name
    else
      "\"${name}\"";

  render = value: if value ? _type && value ? text then value else lib.literalExpression (pretty "" value);

  optionAttrSetToDocList =
    options:
    concatMap (
      option:
      if !isOption option then
        optionAttrSetToDocList option
      else
        [
          (
            {
              inherit (option) loc;
              name = concatStringsSep "." (map showName option.loc);
              description = option.description or null;
              internal = option.internal or false;
              visible = option.visible or true;
              readOnly = option.readOnly or false;
              type = option.type.description;
            }
            // lib.optionalAttrs (option ? example) { example = render option.example; }
            // lib.optionalAttrs (option ? defaultText || option ? default) {
              default = render (option.defaultText or option.default);
            }
          )
        ]
        ++ lib.optionals (option.visible or true) (
          optionAttrSetToDocList (option.type.getSubOptions option.loc)
        )
    ) (attrValues options);
in
lib
