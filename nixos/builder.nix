# The options of one builder. Their names are the keys of hatch-builder(5), and what that page says holds; a key that is
# null is not written, and has its most restrictive value then. tests/nix compares the names with the server's tables.
# Ranges are those that the server checks too, where a wrong value is easily written; the rest is found when the machine
# is built, by `hatchd --check`.
{
  lib,
  # What "allow.features" is, unless something else is said.
  features,
}:
let
  inherit (lib) mkOption types;

  # key TYPE EXAMPLE DESCRIPTION
  key =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };

  required =
    type: description:
    mkOption {
      inherit type description;
    };

  # A path or package becomes its path in the store, which the system then holds.
  word = types.either types.str types.path;
  account = types.either types.ints.unsigned types.nonEmptyStr;
  variable = types.strMatching "[A-Za-z_][A-Za-z0-9_]{0,127}";
  socketClass = types.strMatching "[a-z0-9][a-z0-9._-]{0,63}";
  size = types.either types.ints.unsigned (types.strMatching "(0|[1-9][0-9]*)[KMGT]");
  seconds = types.ints.between 0 31536000;
  # Of one module: two lists would become one, and the second program an argument of the first.
  words = types.uniq (types.nonEmptyListOf word);
  # A place in the builder's view.
  place = types.strMatching "/.+";

  # Never a path, which a submodule takes for a file with definitions. One that lets its modules be replaced would lose the
  # check with them.
  object =
    options:
    types.addCheck (types.submodule { inherit options; }) lib.isAttrs // { getSubModules = null; };
  # An item of a list, which is a path or an object with more to say.
  pathOr =
    options:
    types.coercedTo types.path (path: { inherit path; }) (
      object ({ path = required types.path "The path on the host."; } // options)
    );
  optional =
    key types.bool true
      "May it be missing? Otherwise requests fail without it.";
  bind = pathOr {
    at = key place "/parts" "Where the builder sees it; at the same path if null.";
    inherit optional;
  };

  hook = what: {
    command =
      key words
        [
          "/usr/libexec/board"
          "power-cycle"
        ]
        ''
          Program and arguments that run on the host ${what}, outside of the sandbox, while the builder's
          resources are held.
        '';
    time_sec = key (types.ints.between 1 3600) 60 "How long the command may take; 30 if null.";
    user = key (types.enum [
      "build-user"
      "root"
    ]) "root" "Who runs the command; the build user if null. Root has no capabilities here.";
  };

  rlimit =
    type:
    let
      bound = types.either type (types.enum [ "unlimited" ]);
    in
    types.coercedTo bound
      (value: {
        soft = value;
        hard = value;
      })
      (
        object {
          soft = required bound "The limit that holds, and that the process may raise.";
          hard = required bound "How far.";
        }
      );
  rlimitSize = what: key (rlimit size) "1G" what;
  rlimitCount = what: key (rlimit types.ints.unsigned) 4096 what;
in
{
  options = {
    description = key types.singleLineStr "Vivado synthesis, needs a licence seat" ''
      What `hatch list` shows, at most 512 bytes.
    '';

    command =
      key words
        [
          "/opt/vivado/run.sh"
          "--batch"
        ]
        ''
          The program, an absolute path, and the arguments that come before those of the client. It is no
          shell's command line, and lists of several modules are not put together: one says all of it. May be null
          only with `root.bundle`.
        '';

    allow = {
      users = key (types.listOf account) [
        "alice"
        1002
      ] "Users who may ask, by name or uid.";
      groups = key (types.listOf account) [ "nixbld" ] ''
        Groups whose members may ask, by name or gid. A sandboxed build of Nix has the group `nixbld`, and no other.
      '';
      uid_ranges = key (types.listOf (
        object {
          first = required (types.ints.between 1 4294967294) "The first uid of the range.";
          last = required (types.ints.between 1 4294967294) "The last uid of the range.";
        }
      )) [
        {
          first = 872415232;
          last = 880803839;
        }
      ] "Ranges of uids that may ask: builds of Nix with `auto-allocate-uids` have uids of such a range, and no group.";
      derivations = key (types.nonEmptyListOf types.nonEmptyStr) [ "*-bitstream" ] ''
        Patterns, as of {manpage}`fnmatch(3)`, one of which the name of the derivation that asks must match.
      '';
      features =
        key (types.nonEmptyListOf (types.strMatching "[^[:space:]]+")) [ "hatch-fpga" ] ''
          Features, all of which the derivation that asks must have in its `requiredSystemFeatures`; null is for
          builders that others than builds of Nix ask for. By those that begin with `hatch-` a machine is known to
          have the builder, and builds get to see it: with `expose` other than `none` one must.
        ''
        // {
          default = features;
          defaultText = lib.literalExpression ''if config.services.hatch.expose == "none" then null else [ "hatch-NAME" ]'';
        };
      sockets = key (types.nonEmptyListOf socketClass) [ "hatch" ] ''
        Classes of sockets (`FileDescriptorName=`) by which the builder can be reached; `hatch` alone if null.
      '';
    };

    args = {
      max = key (types.ints.between 0 4096) 16 "How many arguments the client may give; none if null.";
      match = key (types.nonEmptyListOf types.nonEmptyStr) [ "[a-z]+[.]v" ] ''
        POSIX extended regular expressions, one of which each argument must match as a whole; any argument will
        do if null.
      '';
      dash = key types.bool true "May an argument begin with `-`?";
    };

    environment = {
      set = key (types.attrsOf word) {
        LM_LICENSE_FILE = "2100@licenses.example.org";
      } "Variables that the builder gets.";
      accept = key (types.listOf variable) [ "TOP" ] "Variables that the client may set.";
    };

    groups = key (types.listOf types.nonEmptyStr) [ "dialout" ] ''
      Supplementary groups of the builder, beside those of the build user itself.
    '';

    uid_map =
      key
        (types.enum [
          "self"
          "root"
          "range"
        ])
        "root"
        ''
          Who the builder is inside: the build user (`self`, also if null), or root of a user namespace that has
          one id, or 65536 of them (`range`, which needs `services.hatch.settings.range_base`).
        '';

    allow_userns = key types.bool true "May the builder make user namespaces, and other namespaces in them?";
    time_namespace = key types.bool true "Do the clocks since boot begin with the builder?";

    network =
      key
        (types.either
          (types.enum [
            "none"
            "host"
            "private"
          ])
          (
            object {
              namespace = key types.path "/run/netns/lab" "A network namespace that exists.";
              private = key (object {
                tcp =
                  required (types.nonEmptyListOf types.nonEmptyStr)
                    "TCP ports of the machine's loopback, such as `127.0.0.1:2100`.";
              }) { tcp = [ "127.0.0.1:2100" ]; } "Some TCP ports of the machine's loopback, and nothing else.";
            }
          )
        )
        "host"
        ''
          Whom the builder reaches:

          - `"none"`: nobody; also if null
          - `"host"`: everybody, with the network of the machine
          - `"private"`: whom the machine reaches, but not the machine's own loopback
          - `{ namespace = "/run/netns/lab"; }`: whom that namespace reaches
          - `{ private.tcp = [ "127.0.0.1:2100" ]; }`: these ports of the machine's loopback, and nothing else
        '';

    inputs = key types.bool true "May a client give trees along? It may not if null.";

    resources = key (types.attrsOf types.ints.positive) { vivado-seat = 1; } ''
      Units of `services.hatch.settings.resources` that each request holds while it runs.
    '';

    before = hook "before the builder starts";
    after = hook "when the builder has ended, however it did";

    credentials = key (types.listOf types.nonEmptyStr) [ "signing-key" ] ''
      Secrets that the builder finds in `$CREDENTIALS_DIRECTORY`, by their names in `services.hatch.credentials`.
    '';
    credentials_scan = key types.bool false "Look for them in log and outputs? Yes if null.";

    undeclared_references = key (types.enum [
      "ignore"
      "warn"
      "fail"
    ]) "fail" "What becomes of store paths in outputs that are no inputs of the build; a warning if null.";

    root = {
      tree = key types.path "/srv/vendor/2019.2" "A directory tree that is the builder's `/`, instead of the system's programs.";
      image = key types.path "/srv/vendor/2019.2.squashfs" "A squashfs, erofs or ext4 image that is the builder's `/`.";
      bundle = key types.path "/srv/bundles/sim" "A container's bundle, with `config.json`, that is the builder's `/`.";
      readonly = key types.bool false "Can the builder change nothing in its root? It cannot if null.";
      size = key size "1G" "How much it may write there, with `readonly = false`; 256M if null.";
    };

    seccomp =
      key
        (types.either
          (types.enum [
            "default"
            "none"
          ])
          (
            types.nonEmptyListOf (
              types.enum [
                "@debug"
                "@io-uring"
                "@userns"
                "@i386"
              ]
            )
          )
        )
        [ "@debug" ]
        ''
          Which system calls the builder may make: what ordinary programs need (`default`, also if null), or the
          groups of a list besides.
        '';

    view = {
      base = key (types.enum [
        "minimal"
        "host"
      ]) "host" "An empty root with programs and libraries (`minimal`, also if null), or the host's directories.";
      read = key (types.listOf bind) [
        "/opt/vivado"
        {
          path = "/srv/parts";
          at = "/parts";
          optional = true;
        }
      ] "Files and directories of the host that the builder sees, read-only.";
      write = key (types.listOf bind) [
        {
          path = "/srv/ccache";
          at = "/ccache";
        }
      ] "The same, writable as far as the permissions of the files go. What it changes there stays.";
      tmpfs = key (types.listOf (
        object {
          at = required place "Where the builder sees it.";
          size = required size "Bytes in it.";
        }
      )) [
        {
          at = "/opt/vivado/.cache";
          size = "256M";
        }
      ] "New directories in memory.";
      devices = key (types.listOf (pathOr {
        inherit optional;
      })) [ "/dev/ttyUSB0" ] "Devices that the builder may open.";
      hide = key (types.listOf types.path) [ "/opt/vivado/keys" ] "Files and directories of the view that it does not see.";
      overlay = key (types.listOf (
        object {
          at = required place "Where the builder sees them.";
          lower = required (types.nonEmptyListOf types.path) "The layers; the first is on top.";
          top = key (types.enum [
            "none"
            "disk"
            "tmpfs"
          ]) "disk" "Where what the builder writes is kept until the request ends; nowhere if null.";
          size = key size "1G" "Bytes of a top on tmpfs.";
        }
      )) [
        {
          at = "/opt/vivado";
          lower = [ "/opt/vivado" ];
          top = "disk";
        }
      ] "Directories of the host that are stacked on each other, with a top that is thrown away.";
    };

    limits = {
      time_sec =
        key
          (types.coercedTo types.ints.positive
            (value: {
              default = value;
              max = value;
            })
            (
              object {
                default = required (types.ints.between 1 31536000) "What a client gets that says nothing.";
                max = required (types.ints.between 1 31536000) "What any client gets at most.";
              }
            )
          )
          {
            default = 600;
            max = 7200;
          }
          "How long the builder may run, in seconds; 600 if null.";
      silence_sec = key seconds 300 "How long it may write nothing; as long as it runs if null.";
      grace_sec = key (types.ints.between 0 300) 30 "How long it has between SIGTERM and SIGKILL; 5 if null.";
      wait_sec = key seconds 7200 "How long a request may wait for its turn; as long as it takes if null.";
      log = key size "256M" "Bytes that it may write to its log; 64M if null.";
      output = key size "8G" "Bytes of all outputs; 1G if null.";
      output_entries = key (types.ints.between 1 100000000) 500000 "Files, directories and links in all outputs; 100000 if null.";
      input = key size "2G" "Bytes of all inputs that a client sends; 1G if null.";
      input_entries = key (types.ints.between 1 100000000) 500000 "Files, directories and links in them; 100000 if null.";
      input_sec = key (types.ints.between 1 31536000) 60 "How long the client may take for them; 600 if null.";
      memory = key size "16G" "All memory of the builder.";
      memory_high = key size "12G" "The memory from which on it is slowed down.";
      swap = key size "2G" "What of its memory may lie in swap, on top of `memory`; nothing if null.";
      cpus = key (types.either types.ints.positive types.float) 1.5 "Processors' time that it gets at most.";
      tasks = key (types.ints.between 1 4194304) 4096 "Processes and threads at once.";
      io_weight = key (types.ints.between 1 10000) 50 "Its share of busy disks, where everything else has 100.";
      scratch = key size "40G" "What it may have in `/build`, `/tmp` and its outputs together.";
      rlimits = {
        as = rlimitSize "Address space.";
        core = rlimitSize "Core dumps.";
        cpu = rlimitCount "Seconds of processor time.";
        data = rlimitSize "Data segment.";
        fsize = rlimitSize "One file.";
        memlock = rlimitSize "Locked memory.";
        msgqueue = rlimitSize "Message queues.";
        nofile = rlimitCount "Open files.";
        nproc = rlimitCount "Processes of the user.";
        sigpending = rlimitCount "Pending signals.";
        stack = rlimitSize "Stack.";
      };
    };

    limits_optional = key types.bool true "Run the builder also where the host cannot hold all of its limits?";
    scratch_on = key (types.enum [
      "disk"
      "tmpfs"
    ]) "tmpfs" "Where everything lies that the builder writes; on disk if null.";

    keep_failed = key (types.listOf types.nonEmptyStr) [
      "reports/**"
      "*.log"
    ] "Patterns of files that are kept for the administrator if the builder failed.";
  };
}
