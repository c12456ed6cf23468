# services.hatchd: the units of the package, accounts, one file for each builder, and the paths that Nix shows to builds.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.hatchd;
  json = pkgs.formats.json { };

  hook = [
    "command"
    "time_sec"
    "user"
  ];

  # The keys of hatch-builder(5), and of those that are objects the keys inside. null: no object, or one with names of
  # the administrator's choice. The test tests/nix compares this with the tables of the server.
  builderKeys = {
    description = null;
    command = null;
    allow = [
      "users"
      "groups"
      "uid_ranges"
      "derivations"
      "sockets"
    ];
    args = [
      "max"
      "match"
      "dash"
    ];
    environment = [
      "set"
      "accept"
    ];
    groups = null;
    uid_map = null;
    allow_userns = null;
    time_namespace = null;
    network = null;
    resources = null;
    before = hook;
    after = hook;
    credentials = null;
    credentials_scan = null;
    root = [
      "tree"
      "image"
      "bundle"
      "readonly"
      "size"
    ];
    seccomp = null;
    keep_failed = null;
    view = [
      "base"
      "read"
      "write"
      "tmpfs"
      "devices"
      "hide"
      "overlay"
    ];
    limits = [
      "time_sec"
      "silence_sec"
      "grace_sec"
      "wait_sec"
      "log"
      "output"
      "output_entries"
      "memory"
      "memory_high"
      "swap"
      "cpus"
      "tasks"
      "io_weight"
      "rlimits"
      "scratch"
    ];
    limits_optional = null;
    scratch_on = null;
  };

  # Names of `given` that are not among `known`, each as an assertion that does not hold.
  unknownKeys =
    where: known: given:
    map (key: {
      assertion = false;
      message = "${where} has no key \"${key}\"; there are ${lib.concatStringsSep ", " known}";
    }) (lib.subtractLists known (lib.attrNames given));

  checkBuilder =
    name: definition:
    let
      where = "services.hatchd.builders.${name}";
      inner =
        key:
        lib.optionals (
          builderKeys.${key} or null != null && lib.isAttrs definition.${key}
        ) (unknownKeys "${where}.${key}" builderKeys.${key} definition.${key});
    in
    [
      {
        assertion = builtins.match "[a-z0-9][a-z0-9._-]{0,63}" name != null;
        message = "services.hatchd.builders: \"${name}\" is no name of a builder; it must match [a-z0-9][a-z0-9._-]{0,63}";
      }
      {
        assertion = definition ? command || definition ? root.bundle;
        message = "${where} has no command, and no root.bundle that has one";
      }
    ]
    ++ unknownKeys where (lib.attrNames builderKeys) definition
    ++ lib.concatMap inner (lib.attrNames definition);

  isPrivate =
    definition: definition.network or null == "private" || (definition.network or { }) ? private;

  buildUsers = map (i: "${cfg.buildUsers.group}${toString i}") (lib.range 1 cfg.buildUsers.count);
in
{
  options.services.hatchd = {
    enable = lib.mkEnableOption "hatchd, which runs configured jobs for Nix builds and containers";

    package = lib.mkPackageOption pkgs "hatchd" { };

    clientPackage = lib.mkOption {
      type = lib.types.package;
      default = cfg.package.client or cfg.package;
      defaultText = lib.literalExpression "config.services.hatchd.package.client";
      description = ''
        Package whose `bin/hatch` builds find as `/bin/hatch`. Nix shows them its whole closure too.
      '';
    };

    builders = lib.mkOption {
      type = lib.types.attrsOf (lib.types.attrsOf json.type);
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
        Jobs that may be asked for, by name: each becomes `/etc/hatch/builders.d/NAME.json`. The keys are those of
        {manpage}`hatch-builder(5)`; a key that is absent has its most restrictive value. Unknown keys are refused
        here; `hatchd --check` on the machine checks the values.
      '';
    };

    settings = lib.mkOption {
      type = lib.types.attrsOf json.type;
      default = { };
      example = {
        range_base = 1879048192;
      };
      description = ''
        More of `/etc/hatch/hatchd.json`: the keys are those of {manpage}`hatchd.json(5)`.
      '';
    };

    buildUsers = {
      count = lib.mkOption {
        type = lib.types.ints.between 1 1024;
        default = 16;
        description = "How many accounts builders run under, and so how many run at once.";
      };
      group = lib.mkOption {
        type = lib.types.strMatching "[a-z][a-z0-9-]{0,25}";
        default = "hatchbld";
        description = "Group of these accounts; they are called after it, with a number.";
      };
    };

    exposeToNix = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether every sandboxed build on this machine sees the socket and the client. Who may use which builder is
        decided by `allow` of the builder. If false, nothing but root can reach the socket.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = lib.concatLists (lib.mapAttrsToList checkBuilder cfg.builders);

    warnings = lib.optional (cfg.exposeToNix && config.nix.settings.sandbox != true) ''
      services.hatchd.exposeToNix: builds find the hatch only in the sandbox, and nix.settings.sandbox is not true.
    '';

    systemd.packages = [ cfg.package ];
    systemd.tmpfiles.packages = [ cfg.package ];
    systemd.sockets.hatchd.wantedBy = [ "sockets.target" ];
    # A switch to a new configuration must not end the requests that run.
    systemd.services."hatchd@" = {
      restartIfChanged = false;
      stopIfChanged = false;
    };

    environment.systemPackages = [
      cfg.package
      cfg.clientPackage
    ];

    environment.etc = {
      "hatch/hatchd.json".source = json.generate "hatchd.json" (
        {
          build_users_group = cfg.buildUsers.group;
        }
        // lib.optionalAttrs (lib.any isPrivate (lib.attrValues cfg.builders)) {
          pasta = "${pkgs.passt}/bin/pasta";
        }
        // cfg.settings
      );
    }
    // lib.mapAttrs' (name: definition: {
      name = "hatch/builders.d/${name}.json";
      value.source = json.generate "hatch-builder-${name}.json" definition;
    }) cfg.builders;

    users.users = {
      hatch = {
        isSystemUser = true;
        group = "hatch";
        description = "Hatch speaker";
      };
    }
    // lib.genAttrs buildUsers (_: {
      isSystemUser = true;
      group = cfg.buildUsers.group;
      # hatchd takes the members that the group's entry lists, and a primary group alone does not put them there.
      extraGroups = [ cfg.buildUsers.group ];
      description = "Hatch build user";
    });
    users.groups = {
      hatch = { };
      ${cfg.buildUsers.group} = { };
    };

    # "extra-", so that Nix's own defaults stay. The mark "?" lets a path be absent: without it a socket that is not
    # there would fail every build on the machine.
    nix.settings = lib.mkIf cfg.exposeToNix {
      extra-sandbox-paths = [
        "/run/hatch=/run/hatch/s?"
        "/bin/hatch=${cfg.clientPackage}/bin/hatch?"
      ];
    };
  };
}
