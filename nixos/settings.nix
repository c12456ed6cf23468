# The options of services.hatch.settings: the keys of hatchd.json(5), by their names there. As in builder.nix, null is not
# written; tests/nix compares the names with the server's table. Other keys, of a newer hatchd, may be given too.
{ lib, json }:
let
  inherit (lib) mkOption types;

  key =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };
  size = types.either types.ints.unsigned (types.strMatching "(0|[1-9][0-9]*)[KMGT]");
in
{
  freeformType = types.attrsOf json.type;

  options = {
    store = key types.path "/nix/store" "The directory of the Nix store, if it is another one.";
    # As tmpfiles.d(5) takes it, without quotes.
    state = key (types.strMatching "/[^[:space:]%\"'\\]+") "/srv/hatch" ''
      Locks of the build users and what requests write; {file}`/var/lib/hatch` if null. The module makes what
      belongs there.
    '';
    build_users_group = mkOption {
      type = types.str;
      readOnly = true;
      description = "The group of the build users, which is `services.hatch.buildUsers.group`.";
    };
    speaker_user = mkOption {
      type = types.strMatching "[a-z_][a-z0-9_-]{0,30}";
      default = "hatch";
      description = "The user, and its group, under which hatchd reads what clients send.";
    };
    range_base = key (types.ints.between 65536 4294967295) 1879048192 ''
      The first id of those that builders with `uid_map = "range"` have beside their own: 65536 for each build user.
    '';
    queue_max = key (types.ints.between 0 65536) 200 "How many requests may wait; 64 if null.";
    connections_per_user = key (types.ints.between 1 65536) 64 ''
      How many connections one user may have at once; 32 if null, or what `services.hatch.socket` says of one user.
    '';
    missing_derivation =
      key
        (types.enum [
          "refuse"
          "allow"
        ])
        "allow"
        ''
          What becomes of builds whose derivation is not on this machine, where a builder asks for features:
          `refuse` if null.
        '';
    resources = key (types.attrsOf (types.ints.between 1 1024)) { vivado-seat = 2; } ''
      What there is so many of, by name, and what builders take by their `resources`.
    '';
    failed = {
      size = key size "256M" "Bytes kept of one failed request; 64M if null.";
      total = key size "4G" "Bytes kept of all of them; 1G if null.";
      keep_days = key (types.ints.between 1 90) 14 "How long they are kept; 7 days if null.";
    };
    pasta = key types.path "/run/current-system/sw/bin/pasta" ''
      The program that connects builders with a private network. That of `pkgs.passt` is set where a builder has
      one.
    '';
  };
}
