# A machine without builders, and two hosts with the same one. Nix sends a derivation itself only to users whom the other
# side does not trust; so the account is an ordinary one, and what the hosts build is signed.
{
  front.imports = [
    (import ./sender.nix "sender" [
      "east"
      "west"
    ])
    (import ./derivation.nix "one" "synth" ''args = [ "one" "alone" ];'')
    (import ./derivation.nix "two" "synth" ''args = [ "two" "of a trusted user" ];'')
    {
      environment.etc."hatch-test/diamond.nix".text = ''
        let
          inherit (import /etc/hatch-test/lib.nix { }) runHatch;
          step = name: inputs: runHatch { builder = "synth"; inherit name; args = [ name ] ++ inputs; };
          top = step "top" [ "from nothing" ];
          left = step "left" [ top ];
          right = step "right" [ top ];
        in
        step "bottom" [ left right ]
      '';
    }
  ];

  east = import ./host.nix "east";
  west = import ./host.nix "west";
}
