# The tool itself is not Nix's: its installer has put it into /opt.
{
  services.hatch = {
    enable = true;
    builders.fpga = {
      description = "Bitstreams, each with one of the licence seats";
      command = [ "/opt/fpga/bin/synth" ];
      allow = {
        groups = [ "nixbld" ];
        derivations = [ "*-bitstream" ];
      };
      args = {
        max = 8;
        match = [ "[A-Za-z0-9_./-]+" ];
      };
      inputs = true;
      environment = {
        set.LM_LICENSE_FILE = "2100@127.0.0.1";
        accept = [
          "TOP"
          "PART"
        ];
      };
      network.private.tcp = [ "127.0.0.1:2100" ];
      view.overlay = [
        {
          at = "/opt/fpga";
          lower = [ "/opt/fpga" ];
          top = "disk";
        }
      ];
      resources.fpga-seat = 1;
      limits = {
        time_sec = {
          default = 3600;
          max = 14400;
        };
        memory = "16G";
        cpus = 4;
        tasks = 4096;
        wait_sec = 7200;
        input = "512M";
        output = "2G";
      };
      keep_failed = [ "*.log" ];
    };
    settings.resources.fpga-seat = 2;
  };
}
