# A machine whose Nix gives builds uids of its own, and all of them see the hatch.
{
  services.hatch = {
    enable = true;
    expose = "always";
    buildUsers.count = 1;
    builders.online = {
      command = [ "/run/current-system/sw/bin/fetch" ];
      allow.uid_ranges = [
        {
          first = 872415232;
          last = 880803839;
        }
      ];
      network = "private";
    };
  };

  nix.settings.auto-allocate-uids = true;
}
