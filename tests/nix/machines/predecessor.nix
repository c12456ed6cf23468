# The options of nix-sandbox-escape-hatch.
{
  imports = [ ../../../nixos/compat.nix ];

  services.nix-sandbox-escape-hatch = {
    enable = true;
    builders = {
      test = {
        builder = "/run/current-system/sw/bin/test-escape-hatch";
        extraServiceConfig = {
          MemoryMax = "4G";
          CPUQuota = "150%";
          ProtectHome = true;
          NoNewPrivileges = true;
        };
      };
      moved = {
        builder = "/run/current-system/sw/bin/moved";
        socketPath = "/run/moved.sock";
        extraServiceConfig.PrivateNetwork = true;
      };
    };
  };

  services.hatch = {
    buildUsers.count = 1;
    builders.test.args.match = [ "[a-z]+" ];
  };
}
