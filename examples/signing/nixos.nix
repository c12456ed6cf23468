{ lib, pkgs, ... }:
{
  services.hatch = {
    enable = true;
    builders.sign = {
      description = "Signs a program with the release key";
      command = [ ./sign ];
      allow = {
        groups = [ "nixbld" ];
        derivations = [ "*-signed" ];
      };
      inputs = true;
      environment.set.PATH = lib.makeBinPath [ pkgs.openssl ];
      credentials = [ "release-key" ];
      limits = {
        time_sec = 30;
        input = "256M";
        input_entries = 1;
        output = "64K";
        output_entries = 1;
      };
    };
    # With a token in place of the file this is its PIN, and view.devices of the builder names the token.
    # Not a path of Nix, which would copy the key into the store.
    credentials.release-key.path = "/etc/keys/release.pem";
  };
}
