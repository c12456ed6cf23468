# services.hatch: the units of the package, accounts, one file for each builder, and the paths that Nix shows to builds.
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

  checkBuilder =
    name: builder:
    let
      where = "services.hatch.builders.${name}";
    in
    [
      {
        assertion = builtins.match "[a-z0-9][a-z0-9._-]{0,63}" name != null;
        message = "services.hatch.builders: \"${name}\" is no name of a builder; it must match [a-z0-9][a-z0-9._-]{0,63}";
      }
      {
        assertion = builder.command != null || builder.root.bundle != null;
        message = "${where} has no command, and no root.bundle that has one";
      }
    ];

  isPrivate = builder: builder.network == "private" || builder.network.private or null != null;

  buildUsers = map (i: "${cfg.buildUsers.group}${toString i}") (lib.range 1 cfg.buildUsers.count);
in
{
  options.services.hatch = {
    enable = lib.mkEnableOption "hatchd, which runs configured jobs for Nix builds and containers";

    package = lib.mkPackageOption pkgs "hatchd" { };

    clientPackage = mkOption {
      type = types.package;
      default = cfg.package.client or cfg.package;
      defaultText = lib.literalExpression "config.services.hatch.package.client";
      description = ''
        Package whose `bin/hatch` builds find as `/bin/hatch`. Nix shows them its whole closure too.
      '';
    };

    builders = mkOption {
      type = types.attrsOf (types.submodule (import ./builder.nix { inherit lib; }));
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
        Jobs that may be asked for, by name: each becomes `/etc/hatch/builders.d/NAME.json`. The options are the keys of
        {manpage}`hatch-builder(5)`, which says all about them. One that is null is not written, and has its most restrictive value.
      '';
    };

    settings = mkOption {
      type = types.attrsOf json.type;
      default = { };
      example = {
        range_base = 1879048192;
      };
      description = ''
        More of `/etc/hatch/hatchd.json`: the keys are those of {manpage}`hatchd.json(5)`.
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
        description = "Group of these accounts; they are called after it, with a number.";
      };
    };

    exposeToNix = mkOption {
      type = types.bool;
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
      services.hatch.exposeToNix: builds find the hatch only in the sandbox, and nix.settings.sandbox is not true.
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
    // lib.mapAttrs' (name: builder: {
      name = "hatch/builders.d/${name}.json";
      value.source = json.generate "hatch-builder-${name}.json" (written builder);
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
