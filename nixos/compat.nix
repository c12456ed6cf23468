# services.nix-sandbox-escape-hatch, the options of hatch's predecessor, by those of services.hatch: for as long as it takes
# to write the latter. Its builders ran as root on the host, with all that is there; here they are build users in a
# sandbox, and what the options of the service said is either a key of the definition, or holds anyway, or is refused.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.nix-sandbox-escape-hatch;
  inherit (lib) mkOption types;

  # --- extraServiceConfig ---

  percent = text: lib.toInt (lib.removeSuffix "%" text) / 100.0;

  # What a definition can say too.
  translated = {
    CPUQuota = value: { limits.cpus = percent value; };
    IOWeight = value: { limits.io_weight = value; };
    MemoryHigh = value: { limits.memory_high = value; };
    MemoryMax = value: { limits.memory = value; };
    MemorySwapMax = value: { limits.swap = value; };
    PrivateNetwork = value: { network = if value then "none" else "host"; };
    RuntimeMaxSec = value: { limits.time_sec = value; };
    SupplementaryGroups = value: { groups = lib.toList value; };
    TasksMax = value: { limits.tasks = value; };
    TimeoutStartSec = value: { limits.time_sec = value; };
  };

  # What no builder can do in any case.
  holdsAnyway =
    key:
    builtins.match "(Private|Protect|Restrict|SystemCall).*" key != null
    || lib.elem key [
      "CapabilityBoundingSet"
      "DynamicUser"
      "KeyringMode"
      "LockPersonality"
      "MemoryDenyWriteExecute"
      "NoNewPrivileges"
      "ProcSubset"
      "RemoveIPC"
      "UMask"
    ];

  isTranslated = key: translated ? ${key};

  refuseOthers =
    name: builder:
    map (key: {
      assertion = false;
      message = "services.nix-sandbox-escape-hatch.builders.${name}.extraServiceConfig.${key} means nothing in a sandbox of hatch; say what it is for in services.hatch.builders.${name}";
    }) (lib.filter (key: !isTranslated key && !holdsAnyway key) (lib.attrNames builder.extraServiceConfig));

  # --- builders ---

  definition =
    builder:
    lib.mkMerge (
      [
        {
          command = [ builder.builder ];
          allow.groups = [ "nixbld" ];
          # Whatever the client sends.
          args.max = lib.mkDefault 4096;
          args.dash = lib.mkDefault true;
          network = lib.mkDefault "host";
          view.base = lib.mkDefault "host";
          limits.time_sec = lib.mkDefault 86400;
          limits.output = lib.mkDefault "64G";
          limits.output_entries = lib.mkDefault 10000000;
        }
      ]
      ++ lib.mapAttrsToList (key: value: translated.${key} value) (
        lib.filterAttrs (key: _: isTranslated key) builder.extraServiceConfig
      )
    );

  movedSockets = lib.attrNames (lib.filterAttrs (_: builder: builder.socketPath != null) cfg.builders);
in
{
  imports = [ ./module.nix ];

  options.services.nix-sandbox-escape-hatch = {
    enable = lib.mkEnableOption "services.hatch, by the options of nix-sandbox-escape-hatch";

    builders = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            builder = mkOption {
              type = types.path;
              description = "The program, which gets the client's arguments and leaves its result at `$out`.";
            };
            extraServiceConfig = mkOption {
              type = types.attrsOf types.anything;
              default = { };
              example = {
                MemoryMax = "4G";
              };
              description = "Limits, which become those of the definition, and hardening, which holds anyway.";
            };
            socketPath = mkOption {
              type = types.nullOr types.path;
              default = null;
              description = "Without effect: all builders have one socket.";
            };
          };
        }
      );
      default = { };
      description = "Each becomes one of `services.hatch.builders`, where more can be said about it.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.hatch = {
      enable = true;
      builders = lib.mapAttrs (_: definition) cfg.builders;
    };

    assertions = lib.concatLists (lib.mapAttrsToList refuseOthers cfg.builders);

    warnings = [
      ''
        services.nix-sandbox-escape-hatch is services.hatch now. Its builders run as users of their own in a
        sandbox, not as root on the host; derivations ask by makeEscapeHatchRunner or runHatch.
      ''
    ]
    ++ map (name: ''
      services.nix-sandbox-escape-hatch.builders.${name}.socketPath has no effect: all builders have the socket
      /run/hatch/s/hatch.sock.
    '') movedSockets;
  };
}
