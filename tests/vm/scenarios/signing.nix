# examples/signing as it stands, with the real openssl.
{
  machine =
    { pkgs, ... }:
    {
      imports = [
        ./common.nix
        ../../../examples/signing/nixos.nix
      ];

      environment = {
        systemPackages = [ pkgs.openssl ];
        etc."hatch-test/signed.nix".text =
          builtins.replaceStrings [ "../../nixos/lib.nix" ] [ "/etc/hatch-test/lib.nix" ]
            (builtins.readFile ../../../examples/signing/default.nix);
      };
    };
}
