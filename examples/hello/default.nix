# A derivation whose tree is made outside of the sandbox, by the builder "hello" of hello.json.
derivation {
  name = "hello-from-outside";
  system = builtins.currentSystem;
  builder = "/bin/hatch";
  args = [ "run" "hello" "--" "world" ];
  requiredSystemFeatures = [ "hatch-hello" ];
}
