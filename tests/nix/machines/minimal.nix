# As little as one can say.
{
  services.hatch = {
    enable = true;
    builders.hello = {
      command = [ "/run/current-system/sw/bin/hello" ];
      allow.groups = [ "nixbld" ];
    };
  };
}
