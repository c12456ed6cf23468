# The same, of one whose output tells what it finds of the hatch.
name: attributes:
import ./plain.nix name ''
  builder = "/bin/sh";
  args = [ "-c" "echo $(test -e /bin/hatch && echo client) $(test -S /run/hatch/hatch.sock && echo socket) >$out" ];
  ${attributes}
''
