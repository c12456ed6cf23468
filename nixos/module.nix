# services.hatch: the units of the package, accounts, one file for each builder, and what Nix shows to builds.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.hatch;
  json = pkgs.formats.json { };
  inherit (lib) mkOption types;

  # --- files ---

  # An option as it is written into a file: without keys that are null, and without objects that hold nothing else.
  written =
    value:
    if lib.isAttrs value && !(value ? outPath) then
      let
        kept = lib.filterAttrs (_: member: member != null) (lib.mapAttrs (_: written) value);
      in
      if kept == { } && value != { } then null else kept
    else if lib.isList value then
      map written value
    else
      value;

  # Of the builds that see the hatch each may use the builders whose features its derivation requires.
  builder =
    { name, ... }:
    import ./builder.nix {
      inherit lib;
      features = if cfg.expose == "none" then null else [ "hatch-${name}" ];
    };

  # Below /etc/hatch.
  files = {
    "hatchd.json" = json.generate "hatchd.json" (written cfg.settings);
  }
  // lib.optionalAttrs (cfg.expose == "feature") {
    "hook.json" = json.generate "hatch-hook.json" (written {
      inherit (cfg) features;
      paths = shown;
      inherit (cfg.hook) chain;
      missing_derivation = cfg.hook.missingDerivation;
      user = cfg.settings.speaker_user;
    });
  }
  // lib.mapAttrs' (name: builder: {
    name = "builders.d/${name}.json";
    value = json.generate "hatch-builder-${name}.json" (written builder);
  }) cfg.builders;

  # The system is not built if hatchd would refuse one of them. What they name need not be here.
  check = pkgs.runCommand "hatch-check" { preferLocalBuild = true; } ''
    mkdir -p etc/builders.d
    ${lib.concatLines (lib.mapAttrsToList (name: file: "cp ${file} etc/${name}") files)}
    ${lib.getExe' cfg.package "hatchd"} --check --offline --config "$PWD/etc"
    touch "$out"
  '';

  # --- what sandboxes see ---

  # The directory, so that a restart of the socket does not cut off builds that run; the client, at the same place on
  # every machine, so that derivations do not change with it.
  shown = [
    {
      at = "/run/hatch";
      path = "/run/hatch/s";
    }
    {
      at = "/bin/hatch";
      path = lib.getExe' cfg.clientPackage "hatch";
    }
  ];

  # By which features of a derivation a builder is known: of those that it wants all of, the ones that are hatch's. Whoever
  # requires "kvm" beside them is to see the hatch only for the former, and the machine has the latter from elsewhere.
  featuresOf =
    name: builder:
    if builder.allow.features == null then
      [ "hatch-${name}" ]
    else
      lib.filter (lib.hasPrefix "hatch-") builder.allow.features;

  # --- accounts ---

  buildUser =
    number: name:
    lib.nameValuePair name (
      {
        isSystemUser = true;
        group = cfg.buildUsers.group;
        # hatchd takes the members that the group's entry lists, and a primary group alone does not put them there.
        extraGroups = [ cfg.buildUsers.group ];
        description = "Hatch build user ${toString number}";
      }
      // lib.optionalAttrs (cfg.buildUsers.firstUid != null) {
        uid = cfg.buildUsers.firstUid + number - 1;
      }
    );
  buildUsers = lib.imap1 buildUser cfg.buildUsers.names;

  isPrivate = builder: builder.network == "private" || builder.network.private or null != null;

  # As tmpfiles.d/hatch.conf of the package has it for /var/lib/hatch.
  stateRules =
    map (path: "d ${cfg.settings.state}${path} 0700 root root -") [
      ""
      "/pool"
      "/pool/queue"
      "/scratch"
    ]
    ++ [
      "d ${cfg.settings.state}/failed 0700 root root 90d"
      "R! ${cfg.settings.state}/scratch/*"
    ];

  # One user is not to have them all.
  connectionsPerUser =
    if cfg.socket.maxConnectionsPerSource == null && cfg.socket.maxConnections != null then
      (cfg.socket.maxConnections + 1) / 2
    else
      cfg.socket.maxConnectionsPerSource;

  credentialsOf =
    encrypted:
    lib.mapAttrsToList (name: credential: "${name}:${credential.path}") (
      lib.filterAttrs (_: credential: credential.encrypted == encrypted) cfg.credentials
    );
in
{
  imports = [ ./checks.nix ];

  options.services.hatch = {
    enable = lib.mkEnableOption "hatchd, which runs configured jobs for Nix builds and containers";

    package = lib.mkPackageOption pkgs "hatchd" { };

    clientPackage = lib.mkPackageOption pkgs "hatch-client" {
      extraDescription = ''
        Builds find its {file}`bin/hatch` as {file}`/bin/hatch`. It must be linked statically: with `expose =
        "feature"` Nix does not show them what else it needs. Nix runs its {file}`bin/hatch-pre-build-hook`
        before each build.
      '';
    };

    expose = mkOption {
      type = types.enum [
        "feature"
        "always"
        "none"
      ];
      default = "feature";
      description = ''
        Which builds of Nix see the socket and the client:

        - `feature`: those whose `requiredSystemFeatures` name a builder's, by a program that Nix runs before
          each build ({manpage}`hatch-pre-build-hook(8)`). Lix ignores it.
        - `always`: all in a sandbox.
        - `none`: none. Nobody but root can reach the socket then.

        Who may use which builder is decided by its `allow` in any case.
      '';
    };

    features = mkOption {
      type = types.listOf types.str;
      internal = true;
      readOnly = true;
      description = "The system features of Nix that this machine has by its builders.";
    };

    hook = {
      command = mkOption {
        type = types.str;
        internal = true;
        readOnly = true;
        description = "What nix.settings.pre-build-hook is, with expose = \"feature\".";
      };
      chain = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = lib.literalExpression "lib.getExe config.programs.nix-required-mounts.package";
        description = ''
          Another program for Nix to run before each build. There can be only one, so hatch's runs this one first,
          and adds to what it says. What another module sets as `nix.settings.pre-build-hook` has no effect then;
          without this option it is an error.
        '';
      };
      missingDerivation = mkOption {
        type = types.enum [
          "hide"
          "expose"
        ];
        default = "hide";
        description = ''
          What a build sees whose derivation is not on this machine, as when a trusted user sends one from
          another machine: nothing, or what it would see if it named all features.
        '';
      };
    };

    builders = mkOption {
      type = types.attrsOf (types.submodule builder);
      default = { };
      example = lib.literalExpression ''
        {
          hello = {
            command = [ (lib.getExe pkgs.hello) ];
            allow.groups = [ "nixbld" ];
          };
        }
      '';
      description = ''
        Jobs that may be asked for, by name: each becomes {file}`/etc/hatch/builders.d/NAME.json`. The options are the
        keys of {manpage}`hatch-builder(5)`, which says all about them. One that is null is not written, and has its
        most restrictive value. A definition that is there already can be taken as it is: `lib.importJSON ./fpga.json`.
      '';
    };

    settings = mkOption {
      type = types.submodule (import ./settings.nix { inherit lib json; });
      default = { };
      example = {
        queue_max = 200;
        resources.vivado-seat = 2;
      };
      description = ''
        What {file}`/etc/hatch/hatchd.json` says: the keys of {manpage}`hatchd.json(5)`.
      '';
    };

    checkConfig = mkOption {
      type = types.bool;
      default = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
      defaultText = lib.literalExpression "pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform";
      description = ''
        Whether `hatchd --check --offline` reads all of it while the system is built, so that a wrong definition
        is no part of any system.
      '';
    };

    credentials = mkOption {
      type = types.attrsOf (
        types.coercedTo types.str (path: { inherit path; }) (
          types.submodule {
            options = {
              path = mkOption {
                type = types.strMatching "/.+";
                description = ''
                  File with the secret, read when a request begins: without it none is served, whatever the builder. Not in
                  the store, which everybody can read.
                '';
              };
              encrypted = mkOption {
                type = types.bool;
                default = false;
                description = "Was it made by {manpage}`systemd-creds(1)`?";
              };
            };
          }
        )
      );
      default = { };
      example = {
        signing-key.path = "/run/secrets/signing-key";
      };
      description = ''
        Secrets that builders may name in their `credentials`: `LoadCredential=` and `LoadCredentialEncrypted=`
        of {file}`hatchd@.service`. A path alone, as text, will do.
      '';
    };

    buildUsers = {
      count = mkOption {
        type = types.ints.between 1 1024;
        default = 16;
        description = "How many accounts builders run under, and so how many run at once.";
      };
      group = mkOption {
        type = types.strMatching "[a-z][a-z0-9-]{0,25}";
        default = "hatchbld";
        description = ''
          Group of these accounts, and of nobody else; they are called after it, with a number.
        '';
      };
      names = mkOption {
        type = types.listOf types.str;
        internal = true;
        readOnly = true;
        description = "What they are called.";
      };
      firstUid = mkOption {
        type = types.nullOr (types.ints.between 1 4294966271);
        default = null;
        example = 31000;
        description = ''
          Uid of the first of them; the others have those behind it. If null, NixOS chooses, of the 600 that it has for all
          accounts of services.
        '';
      };
    };

    socket = {
      maxConnections = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        example = 256;
        description = ''
          Requests at once, also those that wait; 64 if null. Clients that find no place try again.
          A change of options of the socket needs `systemctl restart hatchd.socket`, which cuts off nobody:
          NixOS leaves sockets alone when it switches.
        '';
      };
      maxConnectionsPerSource = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        example = 64;
        description = ''
          Those of one user; 32 if null, or half of `maxConnections`. Systems older than systemd 256 do not count
          them: there hatchd does, by `services.hatch.settings.connections_per_user`.
        '';
      };
      backlog = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        example = 512;
        description = "Connections that systemd has not accepted yet; 128 if null.";
      };
    };

    sliceConfig = mkOption {
      type = types.attrsOf (
        types.oneOf [
          types.bool
          types.int
          types.str
          (types.listOf types.str)
        ]
      );
      default = { };
      example = {
        MemoryMax = "64G";
        CPUWeight = 50;
      };
      description = ''
        Resources of all requests together: {manpage}`systemd.resource-control(5)` of {file}`hatch.slice`.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    services.hatch = {
      features = lib.unique (lib.concatLists (lib.mapAttrsToList featuresOf cfg.builders));
      hook.command = lib.getExe' cfg.clientPackage "hatch-pre-build-hook";
      buildUsers.names = map (number: "${cfg.buildUsers.group}${toString number}") (
        lib.range 1 cfg.buildUsers.count
      );
      settings = {
        build_users_group = cfg.buildUsers.group;
        connections_per_user = lib.mkIf (connectionsPerUser != null) (lib.mkDefault connectionsPerUser);
        missing_derivation = lib.mkIf (cfg.hook.missingDerivation == "expose") (lib.mkDefault "allow");
        pasta = lib.mkIf (lib.any isPrivate (lib.attrValues cfg.builders)) (
          lib.mkDefault (lib.getExe' pkgs.passt "pasta")
        );
      };
    };

    system.checks = lib.optional cfg.checkConfig check;

    systemd.packages = [ cfg.package ];
    systemd.tmpfiles.packages = [ cfg.package ];
    systemd.tmpfiles.rules = lib.optionals (cfg.settings.state != null) stateRules;

    systemd.sockets.hatchd = {
      wantedBy = [ "sockets.target" ];
      socketConfig = lib.filterAttrs (_: value: value != null) {
        MaxConnections = cfg.socket.maxConnections;
        MaxConnectionsPerSource = connectionsPerUser;
        Backlog = cfg.socket.backlog;
      };
    };
    systemd.services."hatchd@" = {
      # A switch to a new configuration must not end the requests that run.
      restartIfChanged = false;
      stopIfChanged = false;
      serviceConfig = lib.filterAttrs (_: value: value != [ ]) {
        LoadCredential = credentialsOf false;
        LoadCredentialEncrypted = credentialsOf true;
      };
    };
    systemd.slices.hatch.sliceConfig = cfg.sliceConfig;

    environment.systemPackages = [ cfg.package ];
    environment.etc = lib.mapAttrs' (name: file: {
      name = "hatch/${name}";
      value.source = file;
    }) files;

    users.users = {
      ${cfg.settings.speaker_user} = {
        isSystemUser = true;
        group = cfg.settings.speaker_user;
        description = "Hatch speaker";
      };
    }
    // lib.listToAttrs buildUsers;
    users.groups = lib.genAttrs [
      cfg.settings.speaker_user
      cfg.buildUsers.group
    ] (_: { });

    nix.settings = lib.mkMerge [
      # "extra-": without it the list would replace that of Nix and NixOS.
      (lib.mkIf (cfg.expose != "none") { extra-system-features = cfg.features; })
      # Weaker than whatever another module says, and then an assertion says what to do; stronger, once it is done.
      (lib.mkIf (cfg.expose == "feature") {
        pre-build-hook = (if cfg.hook.chain == null then lib.mkOptionDefault else lib.mkOverride 90) cfg.hook.command;
      })
      # "?" lets a path be absent: without it a socket that is not there would fail every build on the machine.
      (lib.mkIf (cfg.expose == "always") {
        extra-sandbox-paths = map (place: "${place.at}=${place.path}?") shown;
      })
    ];
  };
}
