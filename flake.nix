{
  description = "An escape hatch for the Nix sandbox and for containers that does not turn the sandbox off";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      eachSystem =
        make:
        nixpkgs.lib.genAttrs
          [
            "x86_64-linux"
            "aarch64-linux"
          ]
          (
            system:
            make (
              import nixpkgs {
                inherit system;
                overlays = [ self.overlays.default ];
              }
            )
          );
    in
    {
      overlays.default = import ./nixos/overlay.nix;

      nixosModules = {
        default = self.nixosModules.hatch;
        hatch = {
          imports = [ ./nixos/module.nix ];
          nixpkgs.overlays = [ self.overlays.default ];
        };
        # Also takes the options of nix-sandbox-escape-hatch.
        compat.imports = [
          self.nixosModules.hatch
          ./nixos/compat.nix
        ];
      };

      # Without nixpkgs. Each derivation must name its `system`, because pure evaluation knows no current one.
      lib = import ./nixos/lib.nix { };

      packages = eachSystem (pkgs: {
        default = pkgs.hatchd;
        inherit (pkgs) hatchd;
        client = pkgs.hatch-client;
      });

      # The packages and their own tests, most of which are machines with NixOS: for those who have KVM.
      checks = eachSystem (
        pkgs:
        {
          package = pkgs.hatchd;
          client = pkgs.hatch-client;
          package-version = pkgs.hatchd.tests.version;
          client-version = pkgs.hatch-client.tests.version;
        }
        // nixpkgs.lib.mapAttrs' (name: test: {
          name = "machine-${name}";
          value = test;
        }) (removeAttrs pkgs.hatchd.tests [ "version" ])
      );

      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ pkgs.hatchd ];
          packages = [
            pkgs.clang-tools
            pkgs.cppcheck
            pkgs.mandoc
            pkgs.python3
          ];
        };
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree or pkgs.nixfmt-rfc-style);
    };
}
