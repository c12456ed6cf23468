# The builders of examples/, whose definitions are taken as they are: options and keys have the same names.
let
  examples = ../../../examples;
  read = file: builtins.fromJSON (builtins.readFile file);
in
{
  services.hatch = {
    enable = true;
    buildUsers.count = 2;
    builders = {
      board = read (examples + "/board/board.json");
      fpga = read (examples + "/fpga/fpga.json");
      hello = read (examples + "/hello/hello.json");
      image = read (examples + "/image/image.json");
      kvm = read (examples + "/kvm/kvm.json");
      sign = read (examples + "/signing/sign.json");
    };
    settings = {
      inherit (read (examples + "/image/hatchd.json")) range_base;
      resources =
        (read (examples + "/board/hatchd.json")).resources // (read (examples + "/fpga/hatchd.json")).resources;
    };
    credentials.release-key = {
      path = "/etc/hatch/release-key.cred";
      encrypted = true;
    };
  };
}
