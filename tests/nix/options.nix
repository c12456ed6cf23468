# The options of the module as nixpkgs lists them for a manual: those that are not internal.
let
  lib = import ./lib.nix;
  stubs = import ./stubs.nix { inherit lib; };
in
map
  (option: {
    inherit (option) name description type;
    default = option.default.text or null;
    example = option.example.text or null;
  })
  (
    lib.filter (option: option.visible && !option.internal) (
      lib.optionAttrSetToDocList (stubs.evaluate [ ]).options.services.hatch
    )
  )
