# What NixOS and nixpkgs give to the module: the options that it sets, and the few packages that it names. A package is
# a name in the store that nothing has built.
{
  lib,
  # In place of those below.
  packages ? { },
}:
let
  inherit (lib) mkOption types;

  option =
    type: default:
    mkOption {
      inherit type default;
    };
  optional = type: option (types.nullOr type) null;
  named = options: option (types.attrsOf (types.submodule { inherit options; })) { };
  listed = options: option (types.listOf (types.submodule { inherit options; })) [ ];

  # What all units have, as far as somebody here sets it: what is misspelt does not exist.
  unit = {
    wantedBy = option (types.listOf types.str) [ ];
  };
  directive = types.oneOf [
    types.bool
    types.int
    types.str
    types.path
  ];
  section = option (types.attrsOf (types.either directive (types.listOf directive))) { };

  nixWord = types.oneOf [
    types.bool
    types.int
    types.str
    types.path
  ];

  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
  };

  pkgs = own // packages;
  own = rec {
    inherit lib;
    inherit (lib) getExe;
    hatchd = package "hatchd";
    hatch-client = package "hatch-client";
    coreutils = package "coreutils";
    git = package "git";
    gnugrep = package "gnugrep";
    gnutar = package "gnutar";
    hello = package "hello";
    openssh = package "openssh";
    openssl = package "openssl";
    qemu_kvm = package "qemu";
    uhubctl = package "uhubctl";
    bash = package "bash";
    busybox = package "busybox";
    passt = package "passt";
    clang-tools = package "clang-tools";
    cppcheck = package "cppcheck";
    mandoc = package "mandoc";
    nixfmt-tree = package "nixfmt-tree";
    python3 = package "python3";
    socat = package "socat";
    mkShell = arguments: package "shell" // arguments;
    writeText = name: text: package name // { inherit text; };
    runCommand =
      name: _: text:
      package name // { inherit text; };
    formats.json =
      { }:
      {
        type = types.anything // {
          description = "JSON value";
        };
        generate = name: value: pkgs.writeText name (builtins.toJSON value);
      };
    # Without the machine: what the test would run, and its nodes' modules.
    testers = {
      runNixOSTest = test: package "vm-test-${test.name}" // test;
      testVersion = { package }: package;
    };
    stdenv = {
      # Of its own attributes, as nixpkgs gives them to it.
      mkDerivation =
        function:
        let
          arguments = function { finalPackage = made; };
          made =
            lib.genAttrs arguments.outputs (output: package "${arguments.pname}-${output}")
            // package arguments.pname
            // arguments.passthru
            // arguments;
        in
        made;
      hostPlatform.system = "x86_64-linux";
      buildPlatform = {
        system = "x86_64-linux";
        canExecute = _: true;
      };
    };
    pkgsStatic = pkgs;
    # Whatever the function asks for by name is a package of that name, unless it is above.
    callPackage =
      file: overrides:
      let
        function = import file;
        known = { inherit lib stdenv testers; };
        argument = name: _: known.${name} or (package name);
        asked = lib.filterAttrs (_: optional: !optional) (builtins.functionArgs function);
      in
      function (builtins.mapAttrs argument asked // overrides);
  };
in
rec {
  inherit own pkgs;

  # A machine with the module.
  evaluate =
    modules:
    lib.evalModules {
      specialArgs = { inherit pkgs; };
      modules = [
        nixos
        ../../nixos/module.nix
      ]
      ++ modules;
    };

  # `import nixpkgs` with at most one overlay.
  nixpkgs =
    {
      overlays,
      system ? "x86_64-linux",
    }:
    let
      platform = pkgs.stdenv.buildPlatform // { inherit system; };
      stdenv = pkgs.stdenv // {
        buildPlatform = platform;
        hostPlatform = platform;
      };
      final = pkgs // { inherit stdenv; } // overlay;
      overlay = builtins.head overlays final pkgs;
    in
    final;

  # Of what NixOS sets only where it has Nix.
  ofNix =
    config: name: default:
    if config.nix.enable then default else throw "The option `nix.${name}' is used but not defined.";

  nixos = { config, ... }: {
    options = {
      assertions = option (types.listOf types.anything) [ ];
      warnings = option (types.listOf types.str) [ ];
      environment = {
        etc = named {
          text = optional types.str;
          source = optional types.path;
          mode = option types.str "symlink";
        };
        systemPackages = option (types.listOf types.package) [ ];
      };
      nix = {
        package = option types.package (package "nix" // { pname = "nix"; });
        enable = option types.bool true;
        nrBuildUsers = option types.int (ofNix config "nrBuildUsers" 32);
        settings = option (types.submodule {
          freeformType = types.attrsOf (types.either nixWord (types.listOf nixWord));
          # NixOS' own list is that of Nix.
          options.system-features = option (types.listOf types.str) (
            ofNix config "settings.system-features" [ ]
          );
        }) { };
        extraOptions = option types.str "";
        distributedBuilds = option types.bool false;
        buildMachines = listed {
          hostName = mkOption { type = types.str; };
          protocol = optional types.str;
          sshUser = optional types.str;
          sshKey = optional types.str;
          systems = option (types.listOf types.str) [ ];
          maxJobs = option types.int 1;
          supportedFeatures = option (types.listOf types.str) [ ];
        };
      };
      programs.ssh.extraConfig = option types.str "";
      services.openssh.enable = option types.bool false;
      # Of those that NixOS has, a few.
      ids = {
        uids = option (types.attrsOf types.int) {
          root = 0;
          messagebus = 4;
        };
        gids = option (types.attrsOf types.int) {
          root = 0;
          wheel = 1;
          messagebus = 4;
        };
      };
      nixpkgs.overlays = option (types.listOf types.anything) [ ];
      systemd = {
        packages = option (types.listOf types.package) [ ];
        tmpfiles = {
          packages = option (types.listOf types.package) [ ];
          rules = option (types.listOf types.str) [ ];
        };
        sockets = named (unit // { socketConfig = section; });
        services = named (
          unit
          // {
            serviceConfig = section;
            restartIfChanged = option types.bool true;
            stopIfChanged = option types.bool true;
          }
        );
        slices = named (unit // { sliceConfig = section; });
      };
      system.checks = option (types.listOf types.package) [ ];
      users = {
        users = named {
          isNormalUser = option types.bool false;
          isSystemUser = option types.bool false;
          uid = optional types.int;
          group = option types.str "";
          extraGroups = option (types.listOf types.str) [ ];
          description = option types.str "";
          subUidRanges = listed {
            startUid = mkOption { type = types.int; };
            count = option types.int 1;
          };
          subGidRanges = listed {
            startGid = mkOption { type = types.int; };
            count = option types.int 1;
          };
        };
        groups = named {
          gid = optional types.int;
          members = option (types.listOf types.str) [ ];
        };
      };
    };
    config.nix.settings = {
      sandbox = true;
    };
  };
}
