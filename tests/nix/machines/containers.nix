# For containers alone: builds of Nix see nothing.
{
  services.hatch = {
    enable = true;
    expose = "none";
    buildUsers.count = 1;
    builders.make = {
      command = [ "/run/current-system/sw/bin/make" ];
      allow.users = [ "alice" ];
      args.max = 64;
    };
  };

  nix.settings.pre-build-hook = "/run/current-system/sw/bin/other-hook";
}
