# Every option once, and every key of a definition.
{ lib, pkgs, ... }:
{
  services.hatch = {
    enable = true;
    expose = "feature";
    hook = {
      chain = "/run/current-system/sw/bin/other-hook";
      missingDerivation = "expose";
    };
    buildUsers = {
      count = 2;
      group = "jobs";
      firstUid = 31000;
    };
    socket = {
      maxConnections = 256;
      maxConnectionsPerSource = 64;
      backlog = 512;
    };
    sliceConfig = {
      MemoryMax = "64G";
      CPUWeight = 50;
    };
    credentials = {
      signing-key.path = "/run/secrets/signing-key";
      pin = {
        path = "/etc/credstore.encrypted/pin";
        encrypted = true;
      };
    };
    settings = {
      store = "/nix/store";
      state = "/srv/hatch";
      speaker_user = "speaker";
      range_base = 1879048192;
      queue_max = 200;
      connections_per_user = 100;
      missing_derivation = "allow";
      resources.vivado-seat = 2;
      failed = {
        size = "256M";
        total = "4G";
        keep_days = 14;
      };
      pasta = "/opt/pasta";
    };
    builders = {
      all = {
        description = "Every key that goes with every other";
        command = [
          "${pkgs.hello}/bin/hello"
          "--greeting"
        ];
        allow = {
          users = [
            "alice"
            1002
          ];
          groups = [ "nixbld" ];
          uid_ranges = [
            {
              first = 872415232;
              last = 880803839;
            }
          ];
          derivations = [ "*-bitstream" ];
          sockets = [
            "hatch"
            "lab"
          ];
        };
        args = {
          max = 16;
          match = [ "[a-z]+[.]v" ];
          dash = true;
        };
        environment = {
          set.LM_LICENSE_FILE = "2100@licenses.example.org";
          accept = [ "TOP" ];
        };
        inputs = true;
        groups = [ "dialout" ];
        uid_map = "root";
        allow_userns = true;
        time_namespace = true;
        network = "host";
        resources.vivado-seat = 1;
        before = {
          command = [ "/run/current-system/sw/bin/board" ];
          time_sec = 60;
          user = "root";
        };
        after = {
          command = [
            "/run/current-system/sw/bin/board"
            "off"
          ];
          time_sec = 90;
          user = "build-user";
        };
        credentials = [
          "signing-key"
          "pin"
        ];
        credentials_scan = false;
        undeclared_references = "fail";
        root = {
          tree = "/srv/vendor/2019.2";
          readonly = false;
          size = "1G";
        };
        seccomp = [ "@debug" ];
        view = {
          base = "minimal";
          read = [
            "/opt/vivado"
            {
              path = "/srv/parts";
              at = "/parts";
              optional = true;
            }
          ];
          write = [
            {
              path = "/srv/ccache";
              at = "/ccache";
              optional = true;
            }
          ];
          tmpfs = [
            {
              at = "/opt/vivado/.cache";
              size = "256M";
            }
          ];
          devices = [
            "/dev/ttyUSB0"
            {
              path = "/dev/ttyUSB1";
              optional = true;
            }
          ];
          hide = [ "/opt/vivado/keys" ];
          overlay = [
            {
              at = "/sysroot";
              lower = [
                "/srv/libfoo"
                "/srv/base"
              ];
              top = "tmpfs";
              size = "1G";
            }
          ];
        };
        limits = {
          time_sec = {
            default = 600;
            max = 7200;
          };
          silence_sec = 300;
          grace_sec = 30;
          wait_sec = 7200;
          log = "256M";
          output = 8589934592;
          output_entries = 500000;
          input = "2G";
          input_entries = 500000;
          input_sec = 60;
          memory = "16G";
          memory_high = "12G";
          swap = "2G";
          cpus = 1.5;
          tasks = 4096;
          io_weight = 50;
          scratch = "4G";
          rlimits = {
            as = "64G";
            core = "1G";
            cpu = 36000;
            data = "32G";
            fsize = "20G";
            memlock = "1M";
            msgqueue = "1M";
            nofile = 65536;
            nproc = 2048;
            sigpending = 1024;
            stack = {
              soft = "16M";
              hard = "unlimited";
            };
          };
        };
        limits_optional = true;
        scratch_on = "tmpfs";
        keep_failed = [
          "reports/**"
          "*.log"
        ];
      };
      # What excludes something of the above.
      bundle = {
        allow.groups = [ "nixbld" ];
        root.bundle = "/srv/bundles/sim";
        uid_map = "range";
        network.private.tcp = [ "127.0.0.1:2100" ];
        limits.time_sec = 60;
      };
      image = {
        command = [ "/opt/sim/run" ];
        allow.groups = [ "nixbld" ];
        root.image = "/srv/sim.erofs";
        network.namespace = "/run/netns/lab";
        seccomp = "none";
      };
    };
  };

  # What other modules set stays.
  nix.settings = {
    extra-sandbox-paths = [ "/etc/ssl" ];
    extra-system-features = [ "gpu" ];
  };
}
