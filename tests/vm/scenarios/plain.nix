# A file with a derivation of the scenario's own, for `build` in common.py.
name: attributes: {
  environment.etc."hatch-test/${name}.nix".text = ''
    derivation {
      name = "${name}";
      system = builtins.currentSystem;
      ${attributes}
    }
  '';
}
