# services.nix-sandbox-escape-hatch, the options of hatch's predecessor, by those of services.hatch: for as long as it takes
# to write the latter. Its builders ran as root on the host, with all that is there; here they are build users in a
# sandbox, and what the options of the service said is either a key of the definition, or holds anyway, or is refused:
# service-config.nix.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.nix-sandbox-escape-hatch;
  inherit (lib) mkOption types;

  # --- extraServiceConfig ---

  serviceConfig = import ./service-config.nix { inherit lib; };

  # Of an empty list NixOS writes no line.
  said = builder: lib.filterAttrs (_: value: value != [ ]) builder.extraServiceConfig;
  # What its values become; null is what cannot be kept.
  readAll = lib.mapAttrs (key: value: if serviceConfig ? ${key} then serviceConfig.${key}.read value else null);

  refuse =
    name: key:
    let
      why =
        if serviceConfig ? ${key} then
          "is not what hatch can keep, which is ${serviceConfig.${key}.expected}"
        else
          "means nothing in a sandbox of hatch";
    in
    {
      assertion = false;
      message = "services.nix-sandbox-escape-hatch.builders.${name}.extraServiceConfig.${key} ${why}; take it out, and say what it is for in services.hatch.builders.${name}";
    };
  refuseOthers =
    name: builder:
    map (refuse name) (
      lib.attrNames (lib.filterAttrs (_: part: part == null) (readAll (said builder)))
    );

  # Both may be said in services.hatch.builders too.
  checkSwap =
    name: builder:
    let
      inherit (config.services.hatch.builders.${name}) limits;
    in
    {
      assertion = !(said builder ? MemorySwapMax) || limits.swap == null || limits.memory != null;
      message = "services.nix-sandbox-escape-hatch.builders.${name}.extraServiceConfig.MemorySwapMax means nothing without a limit on memory; give MemoryMax too";
    };

  # --- builders ---

  definition =
    builder:
    let
      parts = lib.filter (part: part != null) (lib.attrValues (readAll (said builder)));
      times = lib.catAttrs "seconds" parts;
    in
    lib.mkMerge (
      [
        {
          command = lib.mkDefault [ builder.builder ];
          allow.groups = [ "nixbld" ];
          # Whatever the client sends.
          args.max = lib.mkDefault 4096;
          args.dash = lib.mkDefault true;
          network = lib.mkDefault "host";
          view.base = lib.mkDefault "host";
          limits.time_sec = lib.mkDefault (if times == [ ] then 86400 else lib.foldl' lib.min (lib.head times) times);
          limits.output = lib.mkDefault "64G";
          limits.output_entries = lib.mkDefault 10000000;
        }
      ]
      ++ map (part: removeAttrs part [ "seconds" ]) parts
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

    assertions = lib.concatLists (lib.mapAttrsToList refuseOthers cfg.builders) ++ lib.mapAttrsToList checkSwap cfg.builders;

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
