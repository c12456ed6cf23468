# A file with a derivation that asks for a builder, for `build` in common.py. `arguments`: what else runHatch is told.
name: builder: arguments: {
  environment.etc."hatch-test/${name}.nix".text = ''
    (import /etc/hatch-test/lib.nix { }).runHatch {
      builder = "${builder}";
      name = "${name}";
      ${arguments}
    }
  '';
}
