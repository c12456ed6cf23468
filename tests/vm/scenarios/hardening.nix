# A machine as most have it, and what systemd says of its units.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "greet" ''
        test -s "$CREDENTIALS_DIRECTORY/pin"
        echo "hello" >"$out"
      '' { credentials = [ "pin" ]; })
      (import ./derivation.nix "greeting" "greet" "")
    ];

    services.hatch = {
      enable = true;
      socket.maxConnections = 100;
      sliceConfig.CPUWeight = 50;
      credentials.pin.path = "/etc/hatch-test/pin";
    };

    environment.etc."hatch-test/pin".text = "123456789";
  };
}
