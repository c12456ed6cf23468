# A machine and a derivation as nix-sandbox-escape-hatch has them.
{
  machine = {
    imports = [
      ./common.nix
      ../../../nixos/compat.nix
    ];

    services.nix-sandbox-escape-hatch = {
      enable = true;
      builders.test = {
        builder = "/etc/hatch-test/bin/test-escape-hatch";
        extraServiceConfig = {
          ProtectHome = true;
          TimeoutStartSec = 60;
        };
      };
    };
    nix.settings.extra-system-features = [ "my-special-feature" ];

    environment.etc = {
      "hatch-test/bin/test-escape-hatch" = {
        mode = "0755";
        text = ''
          #!/bin/sh
          mkdir -p $out
          touch $out/$1
          id -u >$out/uid
        '';
      };
      "hatch-test/migrated.nix".text = ''
        let
          runMyEscapeHatch = (import /etc/hatch-test/lib.nix { }).makeEscapeHatchRunner "test" {
            requiredSystemFeatures = [ "my-special-feature" ];
          };
        in
        runMyEscapeHatch "test-foo" [ "foo" ]
      '';
    };
  };
}
