# What services.hatch refuses, and what it warns of: where options contradict each other or the rest of the system. What
# is wrong inside of a definition is found by its option's type, or by `hatchd --check` while the system is built.
{
  config,
  options,
  lib,
  ...
}:
let
  cfg = config.services.hatch;
  nix = config.nix.settings;
  concatBuilders = f: lib.concatLists (lib.mapAttrsToList f cfg.builders);

  # --- ids ---

  # Settings of Nix may be text.
  autoAllocates = lib.elem (nix.auto-allocate-uids or false) [
    true
    "true"
  ];
  numberOf = value: lib.toInt (toString value);
  # Whose ids a build user, or a builder with a range, would have too.
  otherRanges = [
    {
      what = "nobody's";
      first = 65534;
      count = 2;
    }
    {
      what = "those of nixbld";
      first = 30001;
      # Without Nix NixOS has no number, but whoever installs it may take those that its installer takes.
      count = if config.nix.enable then config.nix.nrBuildUsers else 32;
    }
    {
      what = "those that Nix allocates itself";
      first = numberOf (nix.start-id or 872415232);
      count = numberOf (nix.id-count or 8388608);
    }
    {
      # SUB_UID_MIN and SUB_UID_MAX of login.defs(5); autoSubUidGidRange takes them from there too.
      what = "those that users get for containers";
      first = 100000;
      count = 600000000;
    }
  ]
  ++ lib.concatLists (lib.mapAttrsToList subordinateIds config.users.users);
  subordinateIds =
    name: user:
    map (range: {
      what = "those of users.users.${name}";
      first = range.startUid or range.startGid;
      inherit (range) count;
    }) (user.subUidRanges or [ ] ++ user.subGidRanges or [ ]);

  ownRanges = lib.filter (range: range.first != null) [
    accountRange
    builderRange
  ];
  builderRange = {
    option = "settings.range_base";
    what = "those of builders";
    first = cfg.settings.range_base;
    count = cfg.buildUsers.count * 65536;
  };
  accountRange = {
    option = "buildUsers.firstUid";
    what = "those of the build users";
    first = cfg.buildUsers.firstUid;
    inherit (cfg.buildUsers) count;
  };

  meet = a: b: a.count > 0 && b.count > 0 && a.first < b.first + b.count && b.first < a.first + a.count;

  # The last two numbers mean "no change" to system calls.
  checkEnd = own: {
    assertion = own.first + own.count <= 4294967294;
    message = "services.hatch.${own.option}: ${toString own.count} ids from ${toString own.first} on are more than there are, up to 4294967293";
  };

  checkRange = own: other: {
    assertion = own.option == other.option or null || !meet own other;
    message = "services.hatch.${own.option}: the ids from ${toString own.first} on meet ${other.what}, from ${toString other.first} on";
  };

  # --- accounts ---

  # NixOS has a number for these, whether or not it makes them; members of some of them have rights on the host.
  isSomebodys = ids: name: ids ? ${name} || builtins.match "root|nobody|nixbld[0-9]*" name != null;

  # This module declares each of its accounts once. Elsewhere they may get a number, a group its members, a user more groups.
  isDeclaredTwice =
    option: declares: name:
    lib.count declares (lib.concatMap discharged (lib.catAttrs name option.definitions)) > 1;
  # What holds of mkIf and mkMerge; the function of nixpkgs warns whoever calls it.
  discharged =
    definition:
    if definition._type or null == "merge" then
      lib.concatMap discharged definition.contents
    else if definition._type or null == "if" then
      lib.optionals definition.condition (discharged definition.content)
    else
      [ definition ];
  isOthersUser = isDeclaredTwice options.users.users (
    user: user ? isSystemUser || user ? isNormalUser || user ? group
  );
  isOthersGroup = isDeclaredTwice options.users.groups (group: group == { });

  # Everybody in the group of the build users gets strangers' jobs to run.
  strangers = lib.subtractLists cfg.buildUsers.names (
    lib.unique (
      config.users.groups.${cfg.buildUsers.group}.members or [ ]
      ++ lib.attrNames (lib.filterAttrs isInGroup config.users.users)
    )
  );
  isInGroup =
    _: user:
    user.group or null == cfg.buildUsers.group || lib.elem cfg.buildUsers.group (user.extraGroups or [ ]);

  # --- places ---

  state = if cfg.settings.state == null then "/var/lib/hatch" else cfg.settings.state;
  isWithin = path: directory: path == directory || lib.hasPrefix "${lib.removeSuffix "/" directory}/" path;
  pathsMeet = a: b: isWithin a b || isWithin b a;

  # Of "/bin/sh=/nix/store/...?" what the host has.
  sandboxPath = word: lib.last (builtins.match "([^=]*=)?([^?]*)[?]?" (toString word));
  seenByBuilds = [
    "/run/hatch"
    builtins.storeDir
  ]
  ++ map sandboxPath (
    lib.toList (nix.sandbox-paths or [ ]) ++ lib.toList (nix.extra-sandbox-paths or [ ])
  );

  checkState = seen: {
    assertion = !pathsMeet state seen;
    message = "services.hatch.settings.state: ${state} meets ${seen}, which builds see; what requests write needs a place of its own";
  };

  # --- connections ---

  orElse = default: value: if value == null then default else value;
  # As the socket of the package has them, and hatchd.
  connections = orElse 64 cfg.socket.maxConnections;
  connectionsPerUser = orElse 32 cfg.settings.connections_per_user;

  # --- builders ---

  checkBuilder = name: builder: [
    {
      assertion = builtins.match "[a-z0-9][a-z0-9._-]{0,63}" name != null;
      message = "services.hatch.builders: \"${name}\" is no name of a builder; it must match [a-z0-9][a-z0-9._-]{0,63}";
    }
    {
      assertion = builder.command != null || builder.root.bundle != null;
      message = "services.hatch.builders.${name} has no command, and no root.bundle that has one";
    }
    {
      # A script of writeShellScript is a file, and right; what says which its program is, is a directory.
      assertion = programOf builder.command == null;
      message = "services.hatch.builders.${name}.command begins with a package; its program is lib.getExe of it";
    }
    {
      assertion =
        !lib.isAttrs builder.network || (builder.network.namespace == null) != (builder.network.private == null);
      message = "services.hatch.builders.${name}.network must have one of namespace and private; for no network at all say \"none\"";
    }
    {
      # Else builds that require only "kvm" would see the hatch, and go to this machine though it has none.
      assertion =
        !exposed || builder.allow.features == null || lib.any (lib.hasPrefix "hatch-") builder.allow.features;
      message = "services.hatch.builders.${name}.allow.features has none that begins with \"hatch-\", by which builds would be shown the hatch";
    }
  ];

  programOf =
    command: if isGiven command then (lib.head command).meta.mainProgram or null else null;

  isGiven = list: list != null && list != [ ];

  warnOfBuilder =
    name: builder:
    let
      where = "services.hatch.builders.${name}";
      inherit (builder) allow args;
    in
    lib.optional (!isGiven allow.users && !isGiven allow.groups && !isGiven allow.uid_ranges) ''
      ${where}.allow names nobody, so nobody can use the builder; builds of Nix have the group "nixbld".
    ''
    ++
      lib.optional
        (
          autoAllocates && lib.elem "nixbld" (lib.optionals (allow.groups != null) allow.groups) && allow.uid_ranges == null
        )
        ''
          ${where}.allow.groups has "nixbld", but with nix.settings.auto-allocate-uids no build is in that group; name their range in allow.uid_ranges.
        ''
    ++ lib.optional (builder.network == "host" && args.max != null && args.max > 0 && args.match == null) ''
      ${where} has the network of the host and takes any argument: say in args.match which ones it is meant to be given.
    ''
    ++
      map
        (credential: ''
          ${where} wants the credential "${credential}", which is not in services.hatch.credentials; requests fail unless a drop-in of hatchd@.service has it.
        '')
        (
          lib.subtractLists (lib.attrNames cfg.credentials) (
            lib.optionals (builder.credentials != null) builder.credentials
          )
        );

  # --- credentials ---

  checkCredential = name: credential: {
    assertion = credential.encrypted || !lib.hasPrefix "${builtins.storeDir}/" credential.path;
    message = "services.hatch.credentials.${name}.path is in the store, where everybody can read it; encrypt it, or keep it elsewhere";
  };

  # --- Nix ---

  exposed = cfg.expose != "none";
  # NixOS sets the list only where it has Nix.
  handMade = lib.optionals config.nix.enable (
    lib.intersectLists cfg.features (nix.system-features or [ ])
  );
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.builders != { };
        message = "services.hatch.builders is empty: there is nothing that could be asked for";
      }
      {
        assertion =
          !isSomebodys (config.ids.uids // config.ids.gids) cfg.settings.speaker_user
          && !isOthersUser cfg.settings.speaker_user
          && !isOthersGroup cfg.settings.speaker_user
          && !lib.elem cfg.settings.speaker_user cfg.buildUsers.names;
        message = "services.hatch.settings.speaker_user: \"${cfg.settings.speaker_user}\" is somebody else's; what reads from clients needs a user of its own";
      }
      {
        # Else making the accounts ends halfway through a switch, at the first that gets none.
        assertion = cfg.buildUsers.firstUid != null || cfg.buildUsers.count <= 500;
        message = "services.hatch.buildUsers.count: NixOS has 600 ids for all accounts of services; choose those of ${toString cfg.buildUsers.count} by buildUsers.firstUid";
      }
      {
        assertion = strangers == [ ];
        message = "services.hatch.buildUsers.group: ${lib.concatStringsSep ", " strangers} must not be in \"${cfg.buildUsers.group}\", whose members run what strangers ask for";
      }
      {
        assertion =
          !isSomebodys config.ids.gids cfg.buildUsers.group
          && !isOthersGroup cfg.buildUsers.group
          && cfg.buildUsers.group != cfg.settings.speaker_user;
        message = "services.hatch.buildUsers.group: \"${cfg.buildUsers.group}\" is somebody else's; the build users need a group of their own";
      }
      {
        assertion = cfg.expose != "feature" || (config.nix.package.pname or "nix") != "lix";
        message = "services.hatch.expose: Lix does not do what a pre-build hook tells it; set this to \"always\", and builders are still only for derivations with their features";
      }
      {
        assertion = cfg.expose != "feature" || nix.pre-build-hook or null == cfg.hook.command;
        message = "nix.settings.pre-build-hook is set, and services.hatch.expose = \"feature\" needs it: name your program in services.hatch.hook.chain instead";
      }
      {
        assertion = cfg.expose == "feature" || cfg.hook.chain == null;
        message = "services.hatch.hook.chain is run only with services.hatch.expose = \"feature\"; without it set nix.settings.pre-build-hook";
      }
    ]
    ++ lib.mapAttrsToList checkCredential cfg.credentials
    ++ map checkEnd ownRanges
    ++ lib.concatMap (own: map (checkRange own) (otherRanges ++ ownRanges)) ownRanges
    ++ map checkState seenByBuilds
    ++ concatBuilders checkBuilder;

    warnings =
      lib.optional (exposed && nix.sandbox != true) ''
        services.hatch.expose: builds find the hatch only in the sandbox, and nix.settings.sandbox is not true.
      ''
      ++ lib.optional (exposed && !config.nix.enable) ''
        services.hatch.expose: nix.enable is false, so NixOS does not write what nix.settings says; whoever writes nix.conf has to.
      ''
      ++ lib.optional (exposed && handMade != [ ]) ''
        nix.settings.system-features has ${lib.concatStringsSep ", " handMade}: services.hatch adds them by itself, to extra-system-features. What is set there replaces Nix's own list, with kvm and big-parallel.
      ''
      ++ lib.optional (connectionsPerUser >= connections) ''
        services.hatch.socket: one user may have ${toString connectionsPerUser} connections, and there are ${toString connections}: who takes them all leaves none for others.
      ''
      ++ concatBuilders warnOfBuilder;
  };
}
