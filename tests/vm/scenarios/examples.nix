# examples/ but for signing, as they stand and all on one machine, with scripts in place of what costs money, hangs on a
# cable or is elsewhere.
{
  machine =
    { lib, pkgs, ... }:
    let
      example = name: ../../../examples + "/${name}";
      # A script in place of a program.
      standIn = name: text: {
        environment.etc."hatch-test/bin/${name}" = {
          mode = "0755";
          inherit text;
        };
      };
      # A PATH on which the scripts are found first.
      before = packages: lib.mkForce "/etc/hatch-test/bin:${lib.makeBinPath packages}";
      # Files that are beside each other as they are in examples/, so that their derivations find them.
      copies = name: files: {
        environment.etc = lib.listToAttrs (
          map (file: {
            name = "hatch-test/examples/${name}/${file}";
            value = {
              mode = "0644";
              source = example name + "/${file}";
            };
          }) files
        );
      };
    in
    {
      imports = [
        ./common.nix
        { environment.etc."hatch-test/nixos/lib.nix".source = ../../../nixos/lib.nix; }

        (example "board" + "/nixos.nix")
        (copies "board" [ "default.nix" ])
        (standIn "uhubctl" ''
          #!/bin/sh
          echo "$*" >>/var/lib/meeting/power
        '')
        # The board at the other end of the line: it takes firmware and answers one test.
        (standIn "board" ''
          #!/bin/sh
          read -r load length
          firmware=$(head -c "$length"; echo .)
          read -r test
          printf 'got %sgot %s\nPASS\n' "''${firmware%.}" "$test"
        '')

        (example "fpga" + "/nixos.nix")
        (copies "fpga" [
          "default.nix"
          "rtl/blink.v"
        ])
        # It writes into the directory that it is installed in, and asks a licence server.
        (standIn "synth" ''
          #!${pkgs.bash}/bin/bash
          set -eu
          here=$(dirname "$(dirname "$0")")
          echo "patched" >>"$here/share/parts"
          exec 3<>"/dev/tcp/''${LM_LICENSE_FILE#*@}/''${LM_LICENSE_FILE%@*}"
          read -r answer <&3
          echo "licence server: $answer"
          if (exec 4<>/dev/tcp/127.0.0.1/2101) 2>/dev/null; then echo "reached another port"; fi
          echo "$TOP for $PART with $(tr '\n' ' ' <"$here/share/parts")" >"$out"
          head -n 1 "$1" >"$reports"
        '')
        # Where not all controllers are, as in a container.
        { services.hatch.builders.fpga.limits_optional = true; }

        (example "git" + "/nixos.nix")
        (copies "git" [ "default.nix" ])
        # The server lets in whoever has the key, and has one commit.
        (standIn "git" ''
          #!/bin/sh
          case $* in
          init*) mkdir /build/clone ;;
          fetch*) [ "$(cat "''${GIT_SSH_COMMAND##* }")" = "the deploy key" ] && [ -s /build/known_hosts ] ;;
          *checkout*) echo "the firmware's core" >"$out/README" ;;
          esac
        '')
        {
          services.hatch.builders.git = {
            view.read = [ "/etc/hatch-test/bin" ];
            environment.set.PATH = before [ pkgs.coreutils ];
          };
        }

        (example "image" + "/nixos.nix")
        (copies "image" [
          "default.nix"
          "site/index.html"
        ])

        (example "kvm" + "/nixos.nix")
        (copies "kvm" [ "default.nix" ])
        (standIn "qemu-system-x86_64" ''
          #!/bin/sh
          while [ $# -gt 3 ] && [ "$1" != -kernel ]; do shift; done
          echo "booting: $(cat "$2") with $(cat "$4")"
          echo "boot-test: passed"
        '')
        {
          services.hatch.builders.kvm = {
            view.read = [ "/etc/hatch-test/bin" ];
            environment.set.PATH = before [
              pkgs.coreutils
              pkgs.gnugrep
            ];
            limits_optional = true;
          };
        }
      ];

      environment.systemPackages = [ pkgs.socat ];
    };
}
