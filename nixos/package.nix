# Server, client, hatchctl, units and man pages. The client is an output of its own, because a Nix sandbox is shown the
# whole closure of what lies in it: without the server that is the C library and the client's three libraries.
{
  lib,
  stdenv,
  meson,
  ninja,
  pkg-config,
  systemd,
  libarchive,
  jansson,
  cjson,
  libseccomp,
  nettle,
}:
stdenv.mkDerivation {
  pname = "hatchd";
  version = "0.1.0";

  src = lib.cleanSource ../.;

  outputs = [
    "out"
    "client"
    "man"
  ];

  nativeBuildInputs = [
    meson
    ninja
    pkg-config
  ];
  buildInputs = [
    systemd
    libarchive
    jansson
    cjson
    libseccomp
    nettle
  ];

  mesonFlags = [
    # What systemd.pc names lies in systemd's own store path.
    "-Dunit_dir=${placeholder "out"}/lib/systemd/system"
    # They start servers and make namespaces, which a Nix sandbox does not let them; tests/vm/nixos.nix does.
    "-Dtests=false"
  ];

  postInstall = ''
    moveToOutput bin/hatch "$client"
  '';

  meta = {
    description = "Lets Nix builds and containers ask their host for configured jobs";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
    mainProgram = "hatchctl";
  };
}
