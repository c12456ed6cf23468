# A machine and a derivation that were written for nix-sandbox-escape-hatch.
{
  machine = {
    imports = [
      ./common.nix
      ../../../nixos/compat.nix
    ];

    services.nix-sandbox-escape-hatch = {
      enable = true;
      builders.test = {
        builder = "/etc/hatch-test/bin/test";
        extraServiceConfig = {
          MemoryMax = "1G";
          ProtectHome = true;
        };
      };
    };
    services.hatch.builders.test.limits_optional = true;

    environment.etc = {
      "hatch-test/bin/test" = {
        mode = "0755";
        text = ''
          #!/bin/sh
          echo "$# $*; $(id -un)" >"$out"
        '';
      };
      "hatch-test/old.nix".text = ''
        let
          inherit (import /etc/hatch-test/lib.nix { }) makeEscapeHatchRunner;
          runTest = makeEscapeHatchRunner "test" { requiredSystemFeatures = [ "hatch-test" ]; };
        in
        runTest "old" [ "first" "second" ]
      '';
    };
  };
}
