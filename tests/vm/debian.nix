# What stands for NixOS in a Debian tree, beside what the module makes: Nix as NixOS has it.
{
  nix.settings = {
    build-users-group = "nixbld";
    extra-sandbox-paths = [ "/bin/sh=/usr/bin/busybox" ];
  };
}
