# NixOS itself, where NIX_PATH has a whole nixpkgs: what that makes of a configuration, with all of its own modules and
# packages. Nothing is built.
let
  stubs = import ./stubs.nix { inherit lib; };
  inherit (pkgs) lib;

  pkgs = import <nixpkgs> {
    config = { };
    overlays = [ (import ../../nixos/overlay.nix) ];
  };

  system =
    conf:
    import <nixpkgs/nixos/lib/eval-config.nix> {
      system = null;
      modules = [
        ../../nixos/module.nix
        conf
        {
          # No kernel and no file systems, which no test is about.
          boot.isContainer = true;
          nixpkgs.pkgs = pkgs;
          system.stateVersion = lib.trivial.release;
        }
      ];
    };

  # Each path of a package that the stubs have too, and the stub's.
  places =
    lib.concatMap
      (
        { real, stub }:
        map (output: {
          real = builtins.unsafeDiscardStringContext "${lib.getOutput output real}";
          stub = "${stub}";
        }) real.outputs
      )
      (
        lib.mapAttrsToList (name: stub: {
          inherit stub;
          real = pkgs.${name};
        }) (lib.filterAttrs (name: stub: stub ? outPath && pkgs ? ${name}) stubs.own)
        ++ [
          {
            stub = stubs.own.busybox;
            real = pkgs.pkgsStatic.busybox;
          }
        ]
      );
  stubAt = lib.listToAttrs (map (place: lib.nameValuePair place.real place.stub) places);

  # Of all that NixOS says only what it says of hatch, and of what `like` says something of: in the shape of the stubs.
  reduced =
    like: config:
    let
      only = names: lib.filterAttrs (name: _: names ? ${name} || lib.hasPrefix "hatch" name);
      # Of the packages that are wanted those that are there.
      found =
        which:
        let
          pathOf = package: builtins.unsafeDiscardStringContext "${package}";
          stubs = map (package: stubAt.${pathOf package} or null) (which config);
        in
        lib.filter (stub: lib.elem "${stub}" stubs) (which like);
    in
    {
      inherit (config) assertions warnings;
      environment = {
        etc = lib.mapAttrs (_: file: {
          inherit (file) mode source;
          # Of JSON what its generator is given.
          text = if file.text == null then file.source.value or null else file.text;
        }) (only like.environment.etc config.environment.etc);
        systemPackages = found (of: of.environment.systemPackages);
      };
      nix = {
        settings = builtins.intersectAttrs (lib.filterAttrs (
          _: value: value != [ ]
        ) like.nix.settings) config.nix.settings;
        inherit (config.nix) enable extraOptions;
      };
      systemd = {
        packages = found (of: of.systemd.packages);
        tmpfiles = {
          packages = found (of: of.systemd.tmpfiles.packages);
          rules = lib.filter (lib.hasInfix "hatch") config.systemd.tmpfiles.rules;
        };
      }
      // lib.genAttrs [ "services" "slices" "sockets" ] (
        kind: only like.systemd.${kind} config.systemd.${kind}
      );
      system.checks = map (check: { text = check.buildCommand; }) (
        lib.filter (check: check.name == "hatch-check") config.system.checks
      );
      users = lib.mapAttrs (kind: named: only named config.users.${kind}) like.users;
    };
in
{
  inherit places;

  machine =
    conf:
    let
      inherit (system conf) config;
      units = lib.filterAttrs (name: _: lib.hasPrefix "hatch" name) config.systemd.units;
    in
    {
      made = import ./machine.nix {
        inherit conf;
        config = reduced (stubs.evaluate [ conf ]).config config;
      };
      # As NixOS writes them.
      units = lib.mapAttrs (_: unit: unit.text) units;
      nixConf = config.environment.etc."nix/nix.conf".source.text;
    };

  # All of it, with what NixOS refuses.
  system = conf: (system conf).config.system.build.toplevel.drvPath;

  options = import ./options.nix {
    inherit lib;
    inherit (system { }) options;
  };
}
