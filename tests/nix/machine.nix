# What the module makes of `conf`, a configuration or the file with it: the files below / that NixOS would make of it, as
# far as the stubs know its options, what must be built before, and what is wrong. Instead of by NixOS' scripts accounts
# are made by sysusers.d(5) here, so that any system with systemd can have them. `packages`: in place of those of the stubs;
# `config`: what was made of `conf` elsewhere.
{
  conf,
  packages ? { },
  config ? (stubs.evaluate [ conf ]).config,
  lib ? import ./lib.nix,
  stubs ? import ./stubs.nix { inherit lib packages; },
}:
let
  # Of a file of the configuration, one that is generated, or one that lies beside it.
  textOf =
    file:
    if file.text != null then
      file.text
    else if builtins.isPath file.source then
      builtins.readFile file.source
    else
      file.source.text or (throw "${toString file.source} has no text");

  # --- units: only what is put over those of the package ---

  word =
    value: if lib.isList value then value else [ (if builtins.isBool value then lib.boolToString value else value) ];
  section =
    name: settings:
    lib.optionals (settings != { }) (
      [ "[${name}]" ]
      ++ lib.concatLists (lib.mapAttrsToList (key: value: map (v: "${key}=${toString v}") (word value)) settings)
    );
  marks =
    unit:
    lib.optionalAttrs (!unit.restartIfChanged) { X-RestartIfChanged = false; }
    // lib.optionalAttrs (!unit.stopIfChanged) { X-StopIfChanged = false; };
  unitFiles =
    kind: own:
    lib.concatMap (
      name:
      let
        unit = own.${name};
        file = "${name}.${kind}";
        kindSection = {
          service = section "Service" (marks unit // unit.serviceConfig);
          slice = section "Slice" unit.sliceConfig;
          socket = section "Socket" unit.socketConfig;
        };
      in
      lib.optional (kindSection.${kind} != [ ]) {
        name = "etc/systemd/system/${file}.d/overrides.conf";
        value.text = lib.concatLines kindSection.${kind};
      }
      ++ map (target: {
        name = "etc/systemd/system/${target}.wants/${file}";
        value.link = "../${file}";
      }) unit.wantedBy
    ) (lib.attrNames own);

  # --- accounts ---

  number = id: if id == null then "-" else toString id;
  userLines =
    name: user:
    [
      (
        if user.isNormalUser then
          ''u ${name} - "${name}" /home/${name} /bin/sh''
        else
          ''u ${name} ${number user.uid}:${user.group} "${user.description}"''
      )
    ]
    ++ map (group: "m ${name} ${group}") user.extraGroups;
  sysusers =
    lib.mapAttrsToList (name: group: "g ${name} ${number group.gid}") config.users.groups
    ++ lib.concatLists (lib.mapAttrsToList userLines config.users.users);

  homes = map (name: "d /home/${name} 0700 ${name} ${name} -") (
    lib.attrNames (lib.filterAttrs (_: user: user.isNormalUser) config.users.users)
  );
  tmpfiles = config.systemd.tmpfiles.rules ++ homes;

  # An empty list of features is not set.
  nixSettings = lib.filterAttrs (
    name: value: name != "system-features" || value != [ ]
  ) config.nix.settings;
  nixLine =
    name: value:
    "${name} = ${
      if builtins.isBool value then
        lib.boolToString value
      else if lib.isList value then
        lib.concatStringsSep " " value
      else
        toString value
    }";
in
{
  inherit (config) warnings;
  failed = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);
  checks = map (check: check.text) config.system.checks;
  # Of what is generated for the store.
  sources = lib.mapAttrs' (_: file: {
    name = builtins.unsafeDiscardStringContext (toString file.source);
    value = textOf file;
  }) (lib.filterAttrs (_: file: file.source != null) config.environment.etc);
  packages = {
    units = map toString config.systemd.packages;
    tmpfiles = map toString config.systemd.tmpfiles.packages;
    programs = map toString config.environment.systemPackages;
  };
  files =
    lib.mapAttrs' (name: file: {
      name = "etc/${name}";
      value = {
        text = textOf file;
        # NixOS has it in the store, and a link to it here.
        linked = file.mode == "symlink";
      }
      // lib.optionalAttrs (file.mode != "symlink") { inherit (file) mode; };
    }) config.environment.etc
    // lib.listToAttrs (
      unitFiles "service" config.systemd.services
      ++ unitFiles "slice" config.systemd.slices
      ++ unitFiles "socket" config.systemd.sockets
    )
    // lib.optionalAttrs (sysusers != [ ]) {
      "etc/sysusers.d/00-nixos.conf".text = lib.concatLines sysusers;
    }
    // lib.optionalAttrs (tmpfiles != [ ]) {
      "etc/tmpfiles.d/00-nixos.conf".text = lib.concatLines tmpfiles;
    }
    // lib.optionalAttrs config.nix.enable {
      "etc/nix/nix.conf" = {
        text =
          lib.concatLines (lib.mapAttrsToList nixLine nixSettings) + config.nix.extraOptions;
        linked = true;
      };
    };
}
