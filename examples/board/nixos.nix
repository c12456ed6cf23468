{ lib, pkgs, ... }:
{
  services.hatch = {
    enable = true;
    builders.board = {
      description = "Runs a test on the board at the serial port";
      command = [ ./board-test ];
      allow = {
        groups = [ "nixbld" ];
        derivations = [ "*-on-board" ];
      };
      args = {
        max = 1;
        match = [ "[a-z0-9-]+" ];
      };
      inputs = true;
      environment.set.PATH = lib.makeBinPath [ pkgs.coreutils ];
      groups = [ "dialout" ];
      view.devices = [ "/dev/serial/by-id/usb-Board_A-if00" ];
      resources.board-a = 1;
      before = {
        command = [
          ./board-power
          "cycle"
        ];
        time_sec = 20;
      };
      after = {
        command = [
          ./board-power
          "off"
        ];
        time_sec = 20;
      };
      limits = {
        time_sec = 600;
        silence_sec = 60;
        wait_sec = 3600;
        input = "16M";
        output = "1M";
        output_entries = 10;
      };
    };
    settings.resources.board-a = 1;
  };

  # board-power runs on the host, and finds it there.
  environment.systemPackages = [ pkgs.uhubctl ];
}
