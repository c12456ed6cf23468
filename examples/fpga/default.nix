# A bitstream from a vendor tool in /opt that writes into its own directory and takes a licence seat.
(import ../../nixos/lib.nix { }).runHatch {
  builder = "fpga";
  name = "blink-bitstream";
  inputs.rtl = ./rtl;
  # Where the builder finds its inputs.
  args = [ "/build/inputs/rtl/blink.v" ];
  env.TOP = "blink";
  env.PART = "xc7a35t";
  outputs = [
    "out"
    "reports"
  ];
  timeout = 7200;
}
