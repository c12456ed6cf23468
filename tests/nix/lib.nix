# nixpkgs' lib where NIX_PATH names a nixpkgs, or something with nothing but its lib; else our own small one.
let
  found = builtins.tryEval <nixpkgs/lib>;
in
if found.success then import found.value else import ./minilib.nix
