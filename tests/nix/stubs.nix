# What NixOS and nixpkgs give to the module: the options that it sets, and the few packages that it names. A package is
# a name in the store that nothing has built.
{ lib }:
let
  inherit (lib) mkOption types;

  option =
    type: default:
    mkOption {
      inherit type default;
    };
  anything = types.attrsOf types.anything;

  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
  };

  pkgs = rec {
    inherit lib;
    inherit (lib) getExe;
    hatchd = package "hatchd" // {
      client = package "hatchd-client";
    };
    hello = package "hello";
    passt = package "passt";
    clang-tools = package "clang-tools";
    cppcheck = package "cppcheck";
    mandoc = package "mandoc";
    nixfmt-tree = package "nixfmt-tree";
    python3 = package "python3";
    mkShell = arguments: package "shell" // arguments;
    writeShellScript = name: text: package name // { inherit text; };
    formats.json =
      { }:
      {
        type = types.anything;
        generate = name: value: package name // { text = builtins.toJSON value; };
      };
    # Without the machine: what the test would run, and its nodes' modules.
    testers.runNixOSTest = test: test;
    stdenv = {
      mkDerivation =
        arguments:
        lib.genAttrs arguments.outputs (output: package "${arguments.pname}-${output}")
        // package arguments.pname
        // arguments;
      hostPlatform.system = "x86_64-linux";
    };
    # Whatever the function asks for by name is a package of that name, unless it is above.
    callPackage =
      file: overrides:
      let
        function = import file;
        known = { inherit lib stdenv; };
        argument = name: _: known.${name} or (package name);
      in
      function (builtins.mapAttrs argument (builtins.functionArgs function) // overrides);
  };
in
{
  inherit pkgs;

  # `import nixpkgs` with at most one overlay.
  nixpkgs =
    {
      overlays,
      system ? "x86_64-linux",
    }:
    let
      final = pkgs // { stdenv = pkgs.stdenv // { hostPlatform = { inherit system; }; }; } // overlay;
      overlay = builtins.head overlays final pkgs;
    in
    final;

  nixos = {
    options = {
      assertions = option (types.listOf types.anything) [ ];
      warnings = option (types.listOf types.str) [ ];
      environment = {
        etc = option (types.attrsOf types.anything) { };
        systemPackages = option (types.listOf types.package) [ ];
      };
      nix.settings = option anything { };
      nixpkgs.overlays = option (types.listOf types.anything) [ ];
      systemd = {
        packages = option (types.listOf types.package) [ ];
        tmpfiles.packages = option (types.listOf types.package) [ ];
        sockets = option (types.attrsOf anything) { };
        services = option (types.attrsOf anything) { };
      };
      users = {
        users = option (types.attrsOf anything) { };
        groups = option (types.attrsOf anything) { };
      };
    };
    config.nix.settings = {
      sandbox = true;
    };
  };
}
