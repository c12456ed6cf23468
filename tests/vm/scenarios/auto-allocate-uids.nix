# A machine whose Nix gives each build a range of uids of its own.
{
  machine = {
    imports = [
      ./common.nix
      (import ./script.nix "who" ''echo "$HATCH_PEER_UID $(id -un)" >"$out"'' {
        allow.uid_ranges = [
          {
            first = 872415232;
            last = 880803839;
          }
        ];
      })
      (import ./derivation.nix "one" "who" "")
    ];

    services.hatch.enable = true;

    nix.settings = {
      auto-allocate-uids = true;
      experimental-features = [ "auto-allocate-uids" ];
    };
  };
}
