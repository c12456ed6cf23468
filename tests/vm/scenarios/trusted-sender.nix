# A host that trusts those who send it builds, and so gets no derivations: it is told to serve them all the same.
{
  front.imports = [
    (import ./sender.nix "trusted" [ "host" ])
    (import ./derivation.nix "one" "synth" ''args = [ "one" "alone" ];'')
  ];

  host = {
    imports = [ (import ./host.nix "host") ];
    services.hatch.hook.missingDerivation = "expose";
  };
}
