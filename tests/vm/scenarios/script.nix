# A builder whose program is a script of the scenario's own. `definition`: what else is to be said of it.
name: text: definition: {
  # With a mode it is a file; without one NixOS would make a link to where the builder sees nothing.
  environment.etc."hatch-test/bin/${name}" = {
    mode = "0755";
    text = "#!/bin/sh\nset -e\n${text}";
  };

  imports = [ { services.hatch.builders.${name} = definition; } ];
  services.hatch.builders.${name} = {
    command = [ "/etc/hatch-test/bin/${name}" ];
    allow.groups = [ "nixbld" ];
    view.read = [ "/etc/hatch-test/bin" ];
    # Where it says that it is there, and waits for a word: wait_for_guests in common.py.
    view.write = [
      {
        path = "/var/lib/meeting";
        at = "/meeting";
      }
    ];
    limits.time_sec = 60;
  };
}
