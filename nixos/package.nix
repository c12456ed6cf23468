# Server, hatchctl, units and man pages, with a client for the machine itself; or what is to be linked statically:
# pkgsStatic.callPackage ./package.nix { withServer = false; }. That is the client, because a Nix sandbox is not shown what
# else it needs, and hatch-pre-build-hook, which every build of the machine waits for.
{
  lib,
  stdenv,
  meson,
  ninja,
  pkg-config,
  libarchive,
  jansson,
  nettle,
  systemd,
  cjson,
  libseccomp,
  testers,
  withServer ? true,
}:
stdenv.mkDerivation (finalAttrs: {
  pname = if withServer then "hatchd" else "hatch-client";
  version = "0.1.0";

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../bench
      ../docs
      ../hatch-client
      ../hatch-pre-build-hook
      ../hatchctl
      ../hatchd
      ../lib
      ../meson.build
      ../meson_options.txt
      ../tests/fuzz/corpus/derivation
      ../tests/unit.h
      ../units
    ];
  };

  outputs = [ "out" ] ++ lib.optional withServer "man";

  strictDeps = true;

  nativeBuildInputs = [
    meson
    ninja
    pkg-config
  ];

  buildInputs = [
    libarchive
    jansson
    libseccomp
    nettle
  ]
  ++ lib.optionals withServer [
    systemd
    cjson
  ];

  mesonFlags = [
    (lib.mesonBool "server" withServer)
    (lib.mesonEnable "hook" (!withServer))
    # Those start servers, and want a host with accounts; passthru.tests are machines that have all this.
    (lib.mesonBool "host_tests" false)
  ]
  # What systemd.pc names lies in systemd's own store path.
  ++ lib.optional withServer (lib.mesonOption "unit_dir" "${placeholder "out"}/lib/systemd/system")
  ++ lib.optional (!withServer) (lib.mesonEnable "docs" false);

  doCheck = true;

  # The machines need KVM.
  passthru.tests = {
    version = testers.testVersion { package = finalAttrs.finalPackage; };
  }
  // lib.optionalAttrs withServer (import ../tests/vm/nixos { pkgs = { inherit testers; }; });

  meta = {
    description = "Lets Nix builds and containers ask their host for configured jobs";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
    mainProgram = if withServer then "hatchctl" else "hatch";
  };
})
