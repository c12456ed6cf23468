# The options of the module as nixpkgs lists them for a manual: those that are not internal. `options`: of a system.
{
  lib ? import ./lib.nix,
  options ? ((import ./stubs.nix { inherit lib; }).evaluate [ ]).options,
}:
map
  (option: {
    inherit (option) name description type;
    default = option.default.text or null;
    example = option.example.text or null;
  })
  (
    lib.filter (option: option.visible && !option.internal) (
      lib.optionAttrSetToDocList options.services.hatch
    )
  )
